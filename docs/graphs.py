"""The graph that the page on reading graphs shows: a meta-step of five inner steps through the net for Omniglot."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import metagrad as mg
from metagrad import meta, nn


def page() -> str:
    net = nn.omniglot_conv(5, filters=16)
    params = net.init(mg.random.key(0), (5, 28, 28, 1))
    pictures = np.zeros((4, 5, 28, 28, 1), np.float32), np.tile(np.arange(5), (4, 1))  # of four tasks

    def loss(params, batch):
        images, labels = batch
        return mg.mean(nn.softmax_cross_entropy(net(params, images), labels))

    def meta_loss(params):
        return meta.meta_loss(loss, params, (pictures, pictures), steps=5, lr=0.4)

    graph = mg.make_graph(mg.grad(meta_loss))(params)
    return mg.inspect.html(graph, "MAML, five inner steps").replace(f"{Path(__file__).parents[1]}/", "")
