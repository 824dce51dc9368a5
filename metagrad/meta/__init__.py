"""Meta-learning: adaptation as an unrolled inner loop, MAML, learning to compare, and a trainer that can be stopped."""

from __future__ import annotations

from .adaptation import adapt, all_but
from .checkpoints import Best
from .learner import Learner, State, over_tasks
from .maml import MAML, meta_loss
from .metric import best_match, matching, prototypical, siamese, verification_loss
from .metrics import read_metrics
from .progress import Progress, doing
from .trainer import Interrupted, Trainer, output_folder

__all__ = [
    "MAML",
    "Best",
    "Interrupted",
    "Learner",
    "Progress",
    "State",
    "Trainer",
    "adapt",
    "all_but",
    "best_match",
    "doing",
    "matching",
    "meta_loss",
    "output_folder",
    "over_tasks",
    "prototypical",
    "read_metrics",
    "siamese",
    "verification_loss",
]
