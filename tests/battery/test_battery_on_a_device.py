"""Every operation on a device, a GPU or the emulation of one: what it computes on the CPU, and no copy between the two.

A Graph of it, its derivatives of three orders and its mapping are compared, too.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from cases import CASES
from places import CUPY, DEVICE, needs_cuda
from tolerances import close

import metagrad as mg
from metagrad.core.pytree import flatten
from metagrad.testing import random_direction
from metagrad_kernels import emulation

pytestmark = needs_cuda

WITH_ARGS = [case for case in CASES if case.args]
DIFFERENTIABLE = [case for case in WITH_ARGS if case.moving and case.derivative != "none"]
ABOUT_DTYPES = {"finfo", "iinfo", "result_type"}
READ_THE_DEVICE = {"nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values"}
WRITTEN_ON_THE_HOST = ("array", "list", "mask", "counts", "sorter")
"""Indices that a case has in itself."""


def over(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)


def without_copies(case):
    """A context in which copies between host and device are refused, unless the case cannot do without."""
    of_the_host = case.operation in ("getitem", "At", "repeat", "searchsorted")
    indices = of_the_host and any(what in case.detail for what in WRITTEN_ON_THE_HOST)
    if CUPY is not None or indices or case.operation in READ_THE_DEVICE:
        return nullcontext()
    return emulation.arrays.no_host_copies()


def on_device(tree):
    return mg.to_device(tree, DEVICE)


def compare(got, expected, order=0):
    for a, b in zip(flatten(got)[0], flatten(expected)[0], strict=True):
        assert (a.device.partition(":")[0], a.dtype) == (DEVICE, b.dtype)
        close(a.numpy(), b.numpy(), np.float64, order)


def run(case, function, arguments):
    """The function on the device."""
    with without_copies(case):
        return function(*arguments)


@over([case for case in WITH_ARGS if case.operation not in ABOUT_DTYPES])
def test_forward_and_its_graph_are_the_cpus(case):
    args = [mg.asarray(x) for x in case.example()]
    expected, there = case.f(*args), on_device(args)
    compare(run(case, case.f, there), expected)
    if case.operation in READ_THE_DEVICE:
        return
    graph = run(case, mg.make_graph(case.f), there)
    assert all(var.device.partition(":")[0] == DEVICE for equation in graph.equations for var in equation.outputs)
    compare(run(case, graph, there), expected)


def derivatives(case, weights, directions, args):
    """Gradient, Hessian times a direction and the third derivative along it, of a curved scalar of all outputs."""
    moved = tuple(case.moving)

    def scalar(*args):
        outputs = [y for y in flatten(case.f(*args))[0] if y.dtype.kind == "f"]
        return sum(mg.sum((y + 0.5 * mg.sin(y)) * w) for y, w in zip(outputs, weights, strict=True))

    def along(f):
        return lambda *args: sum(mg.sum(g * d) for g, d in zip(mg.grad(f, moved)(*args), directions, strict=True))

    found = []
    for _ in range(3 if case.derivative == "smooth" else 1):
        found.append(mg.grad(scalar, moved)(*args))
        scalar = along(scalar)
    return found


@over(DIFFERENTIABLE)
def test_derivatives_of_three_orders_are_the_cpus(case):
    args = [mg.asarray(x) for x in case.example()]
    outputs = [y for y in flatten(case.f(*args))[0] if y.dtype.kind == "f"]
    rng = np.random.default_rng(0)
    weights, directions = (
        [mg.asarray(random_direction(rng, x.shape)) for x in some] for some in (outputs, [args[k] for k in case.moving])
    )
    expected = derivatives(case, weights, directions, args)
    there = on_device([weights, directions, args])
    for order, (got, want) in enumerate(zip(run(case, derivatives, [case, *there]), expected, strict=True), 1):
        compare(got, want, order)


@over([case for case in WITH_ARGS if case.operation not in ABOUT_DTYPES | READ_THE_DEVICE])
def test_vmap_is_the_cpus(case):
    args = [mg.asarray(np.stack(parts)) for parts in zip(*map(case.example, range(2)), strict=True)]
    compare(run(case, mg.vmap(case.f), on_device(args)), mg.vmap(case.f)(*args))
