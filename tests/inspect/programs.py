"""What the tests of `mg.inspect` look at: the sine, a small learner, and the meta-step of the Omniglot net."""

from __future__ import annotations

import numpy as np

import metagrad as mg
from metagrad import meta, nn


def product(x):
    return mg.sin(x) * x


def loss(w, batch):
    x, y = batch
    return mg.mean((mg.tanh(x * w) - y) ** 2)


TASK = (np.array([0.5, 1.0, -0.3]), np.array([0.3, 0.6, 0.1]))


def meta_gradient(first_order=False, steps=2):
    """A function of the parameter: MAML's meta-gradient, or its first-order form."""

    def after(w):
        return loss(meta.adapt(loss, w, TASK, steps=steps, lr=0.5, first_order=first_order), TASK)

    return mg.grad(after)


def conv_meta_step(first_order=False, filters=8, steps=5, size=28):
    """The 5-step meta-step of the Omniglot net, and its parameters."""
    net = nn.omniglot_conv(5, filters=filters)
    params = net.init(mg.random.key(0), (5, size, size, 1))

    def task_loss(p, batch):
        return mg.mean(nn.softmax_cross_entropy(net(p, batch[0]), batch[1]))

    images = np.zeros((2, 5, size, size, 1), np.float32)
    labels = np.tile(np.arange(5), (2, 1))
    tasks = ((images, labels), (images, labels))
    adapted = meta.all_but(params, "offset")

    def outer(p):
        return meta.meta_loss(task_loss, p, tasks, steps=steps, lr=0.4, first_order=first_order, adapted=adapted)

    return mg.value_and_grad(outer), params
