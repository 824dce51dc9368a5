"""A small training run, for the tests of the trainer and, run as a script, for those that kill it.

python runs.py FOLDER ITERATIONS [resume]
"""

from __future__ import annotations

import sys

import numpy as np

import metagrad as mg
from metagrad import data, meta, nn, optim

NET = nn.Sequential(nn.Dense(8), nn.tanh, nn.Dense(1))


def loss(params, batch):
    x, y = batch
    return nn.mean_squared_error(NET.apply(params, x), y)


def sample(generator):
    return data.episodes(generator, tasks=4, shots=5)[1]


def trainer(folder, settings=None, **options):
    maml = meta.MAML(loss, optim.Adam(1e-2), lr=0.01)
    options = {"log_every": 2, "checkpoint_every": 10, **options}
    step = options.pop("step", maml.step)
    return meta.Trainer(step, options.pop("sample", sample), folder, settings=settings or {"seed": 0}, **options)


def first_state():
    maml = meta.MAML(loss, optim.Adam(1e-2), lr=0.01)
    return maml.init(NET.init(mg.random.key(0), (1,)))


def train(folder, iterations, resume=False, **options):
    return trainer(folder, **options).run(first_state(), iterations, np.random.default_rng(0), resume=resume)


if __name__ == "__main__":
    try:
        train(sys.argv[1], int(sys.argv[2]), resume="resume" in sys.argv[3:])
    except KeyboardInterrupt as stop:
        print(stop)
        sys.exit(130)
