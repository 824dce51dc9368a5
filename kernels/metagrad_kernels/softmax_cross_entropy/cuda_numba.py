"""CUDA in Python: a team of threads a row, which put together what they have found in shared memory.

A block is `teams` rows of `team` threads, both powers of two. Thread t of a team looks at classes t, t + team, ...
"""

from __future__ import annotations

import math
from typing import Any

from numba import cuda

from ..cuda_numba import Kernel, array, device
from ..dispatch import FLOATS
from ..launch import namespace
from .cuda import rows

THREADS = 128


def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    x, targets, soft = rows(logits, labels)
    losses = namespace(logits).empty(x.shape[:1], x.dtype)
    _run(SOFT_LOSSES if soft else LOSSES, x, targets, losses)
    return losses.reshape(logits.shape[:-1])


def softmax_cross_entropy_gradient(logits: Any, labels: Any, g: Any) -> Any:
    xp = namespace(logits)
    x, targets, soft = rows(logits, labels)
    gradient = xp.empty(x.shape, x.dtype)
    _run(SOFT_GRADIENT if soft else GRADIENT, x, targets, xp.ascontiguousarray(g, x.dtype).reshape(-1), gradient)
    return gradient.reshape(logits.shape)


def _run(kernel: Kernel, x: Any, *others: Any) -> None:
    team = min(THREADS, 1 << (x.shape[1] - 1).bit_length())
    teams = THREADS // team
    blocks = -(-len(x) // teams)
    if blocks:
        kernel.launch((blocks,), (team, teams), x, *others)


# From here on the code is compiled, for a GPU. A team without a row does the last row again and writes nothing,
# because every thread of a block has to come to each of its barriers.


@device
def joined(shared: Any, mine: Any, largest: bool) -> Any:
    """The largest of a team's numbers, or their sum: halves are put together until one is left."""
    me = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    shared[me] = mine
    cuda.syncthreads()
    half = cuda.blockDim.x // 2
    while half > 0:
        if cuda.threadIdx.x < half:
            other = shared[me + half]
            shared[me] = (max(shared[me], other)) if largest else shared[me] + other
        cuda.syncthreads()
        half //= 2
    result = shared[me - cuda.threadIdx.x]
    cuda.syncthreads()  # the next to be joined must not be written before everyone has read
    return result


@device
def top_and_sum(x: Any, shared: Any) -> Any:
    """The largest logit, and the sum of the exponentials below it, a NaN where the row has no answer."""
    top = x.dtype.type(-math.inf)
    for j in range(cuda.threadIdx.x, len(x), cuda.blockDim.x):
        if x[j] > top:
            top = x[j]
    top = joined(shared, top, True)
    total = x.dtype.type(0)
    for j in range(cuda.threadIdx.x, len(x), cuda.blockDim.x):
        total += math.exp(x[j] - top)
    return top, joined(shared, total, False)


def _losses(logits: Any, labels: Any, losses: Any) -> None:
    shared = cuda.shared.array(THREADS, logits.dtype)
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    x = logits[min(row, len(logits) - 1)]
    top, total = top_and_sum(x, shared)
    if row < len(logits) and cuda.threadIdx.x == 0:
        label = labels[row]
        if 0 <= label < len(x):
            losses[row] = math.log(total) - (x[label] - top)
        else:
            losses[row] = math.nan


def _soft_losses(logits: Any, labels: Any, losses: Any) -> None:
    shared = cuda.shared.array(THREADS, logits.dtype)
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    x, y = logits[min(row, len(logits) - 1)], labels[min(row, len(logits) - 1)]
    top, total = top_and_sum(x, shared)
    mass, picked = x.dtype.type(0), x.dtype.type(0)
    for j in range(cuda.threadIdx.x, len(x), cuda.blockDim.x):
        mass += y[j]
        if y[j] != 0:
            picked += y[j] * (x[j] - top)
    mass = joined(shared, mass, False)
    picked = joined(shared, picked, False)
    if row < len(logits) and cuda.threadIdx.x == 0:
        losses[row] = mass * math.log(total) - picked


def _gradient(logits: Any, labels: Any, g: Any, gradient: Any) -> None:
    shared = cuda.shared.array(THREADS, logits.dtype)
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    x = logits[min(row, len(logits) - 1)]
    top, total = top_and_sum(x, shared)
    if row < len(logits):
        label, given = labels[row], g[row]
        if not 0 <= label < len(x):
            given = x.dtype.type(math.nan)
        for j in range(cuda.threadIdx.x, len(x), cuda.blockDim.x):
            softmax = math.exp(x[j] - top) / total
            gradient[row, j] = given * softmax - given if j == label else given * softmax


def _soft_gradient(logits: Any, labels: Any, g: Any, gradient: Any) -> None:
    shared = cuda.shared.array(THREADS, logits.dtype)
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    x, y = logits[min(row, len(logits) - 1)], labels[min(row, len(logits) - 1)]
    top, total = top_and_sum(x, shared)
    mass = x.dtype.type(0)
    for j in range(cuda.threadIdx.x, len(x), cuda.blockDim.x):
        mass += y[j]
    mass = joined(shared, mass, False)
    if row < len(logits):
        for j in range(cuda.threadIdx.x, len(x), cuda.blockDim.x):
            gradient[row, j] = g[row] * (mass * (math.exp(x[j] - top) / total) - y[j])


_LABELS = array("int64", 1)
_ROWS = [(array(dtype, 2), array(dtype, 1)) for dtype in FLOATS]
LOSSES = Kernel(_losses, [(x, _LABELS, one) for x, one in _ROWS])
SOFT_LOSSES = Kernel(_soft_losses, [(x, x, one) for x, one in _ROWS])
GRADIENT = Kernel(_gradient, [(x, _LABELS, one, x) for x, one in _ROWS])
SOFT_GRADIENT = Kernel(_soft_gradient, [(x, x, one, x) for x, one in _ROWS])
