"""Tasks to learn: distributions sampled on the host, and few-shot classification from pictures.

>>> import numpy as np
>>> from metagrad import data
>>> train, validation, test = data.split(data.strokes(classes=50))
>>> (images, labels), query = data.Episodes(train, ways=5, shots=1, queries=1)(np.random.default_rng(0), tasks=4)
>>> images.shape, labels.shape
((4, 5, 28, 28, 1), (4, 5))
"""

from __future__ import annotations

from .cache import cache_folder
from .folders import cifar_fs, image_folders, mini_imagenet
from .handwriting import strokes
from .omniglot_files import omniglot
from .records import ImageClasses
from .sampler import Draw, Episodes
from .sinusoid import Sinusoids, episodes
from .splits import Splits, split

__all__ = [
    "Draw",
    "Episodes",
    "ImageClasses",
    "Sinusoids",
    "Splits",
    "cache_folder",
    "cifar_fs",
    "episodes",
    "image_folders",
    "mini_imagenet",
    "omniglot",
    "split",
    "strokes",
]
