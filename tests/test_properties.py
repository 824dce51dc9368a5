"""What holds for any program: Hypothesis writes programs and nestings of transforms, and looks for one that fails."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import close

import metagrad as mg
from metagrad.testing import check_gradients, random_direction, strategies, taylor_slope
from metagrad.testing.programs import NESTINGS, N, Nesting

smooth_programs = strategies.programs()
programs = strategies.programs(smooth=False)
seeds = st.integers(0, 99)


def scalar(program):
    return lambda x, y: mg.sum(mg.sin(program(x, y)) * mg.asarray(random_direction(np.random.default_rng(1), (N, N))))


def point(seed, *lead):
    rng = np.random.default_rng(seed)
    return [mg.asarray(random_direction(rng, (*lead, N, N)) * 0.6) for _ in range(2)]


@given(programs, seeds)
@settings(max_examples=120)
def test_random_programs_have_numeric_derivatives_to_second_order(program, seed):
    check_gradients(program, point(seed), order=2, redraws=30)


@given(smooth_programs, seeds)
@settings(max_examples=40)
def test_the_taylor_polynomial_of_a_random_program_converges_at_its_order(program, seed):
    assert taylor_slope(program, point(seed), order=2) > 2.7


@given(programs, seeds)
@settings(max_examples=100)
def test_hessian_vector_products_are_linear_symmetric_and_one_in_both_modes(program, seed):
    f, primals = scalar(program), point(seed)
    u, v = point(seed + 1), point(seed + 2)

    def h(w, mode="reverse_over_reverse"):
        return np.stack([np.asarray(x) for x in mg.hvp(f, primals, w, mode=mode)])

    hu, hv = h(u), h(v)
    scale = 1.0 + np.abs(hu).max() + np.abs(hv).max()
    np.testing.assert_allclose(h(u, "forward_over_reverse"), hu, rtol=0, atol=1e-10 * scale)
    combined = h([2.0 * a - 3.0 * b for a, b in zip(u, v, strict=True)])
    np.testing.assert_allclose(combined, 2.0 * hu - 3.0 * hv, rtol=0, atol=1e-10 * scale)
    assert abs(np.vdot(np.stack(u), hv) - np.vdot(np.stack(v), hu)) <= 1e-9 * scale


@given(programs, programs, seeds)
@settings(max_examples=60)
def test_the_gradient_of_a_sum_is_the_sum_of_gradients(first, second, seed):
    f, g, at = scalar(first), scalar(second), point(seed)
    both = mg.grad(lambda x, y: f(x, y) + g(x, y), argnums=(0, 1))(*at)
    apart = zip(mg.grad(f, argnums=(0, 1))(*at), mg.grad(g, argnums=(0, 1))(*at), strict=True)
    for got, (a, b) in zip(both, apart, strict=True):
        np.testing.assert_allclose(got, np.asarray(a) + np.asarray(b), rtol=1e-11, atol=1e-11)


@given(programs, seeds)
@settings(max_examples=100)
def test_vmap_of_gradients_and_hessian_vector_products_is_the_loop(program, seed):
    f, (x, y) = scalar(program), point(seed, 3)
    for transformed in (
        mg.grad(f, argnums=(0, 1)),
        lambda x, y: mg.hvp(f, (x, y), (y, x), mode="forward_over_reverse"),
    ):
        mapped = mg.vmap(transformed)(x, y)
        for k in range(2):
            close(mapped[k], np.stack([np.asarray(transformed(x[i], y[i])[k]) for i in range(3)]), order=2)


@given(programs, seeds)
@settings(max_examples=60)
def test_a_graph_and_a_checkpoint_of_a_random_program_are_the_program(program, seed):
    f, at = scalar(program), point(seed)
    expected = mg.grad(f, argnums=(0, 1))(*at)
    for other in (mg.make_graph(mg.grad(f, argnums=(0, 1)))(*at), mg.grad(mg.checkpoint(f), argnums=(0, 1))):
        for got, want in zip(other(*at), expected, strict=True):
            close(got, want, order=1)
    product = mg.hvp(f, at, at)
    for got, want in zip(mg.hvp(mg.checkpoint(f), at, at), product, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


# Nestings of transforms, on polynomials: each does to the function what a rule does to the coefficients, exactly.


@given(strategies.nestings(), st.floats(-1.5, 1.5))
@settings(max_examples=120)
def test_random_nestings_of_transforms_are_right(nesting, x):
    for at in (x, x / 2):
        assert abs(float(nesting(at)) - nesting.exact(at)) <= nesting.tolerance(at)


@pytest.mark.parametrize("outer", sorted(NESTINGS))
@pytest.mark.parametrize("inner", sorted(NESTINGS))
def test_every_transform_nests_in_every_other(outer, inner):
    nesting = Nesting((inner, outer), (0.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    p = nesting.exact
    assert abs(float(nesting(0.7)) - p(0.7)) <= 1e-11 * (1 + abs(p(0.7)))
    values = mg.vmap(nesting)(mg.asarray([0.7, -0.4]))
    np.testing.assert_allclose(values, p(np.array([0.7, -0.4])), rtol=1e-11, atol=1e-11)


# Indexing, contraction and broadcasting as NumPy has them, and each linear map with its transpose.


@st.composite
def indexed_shapes(draw):
    """A shape and an index into it: integers, slices, arrays that broadcast, one mask, a new axis, an ellipsis."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    common = draw(st.sampled_from([(2,), (2, 3), (1,), (0,)]))
    items = []
    masked = False
    for n in shape[: draw(st.integers(1, len(shape)))]:
        kind = draw(st.sampled_from(["int", "slice", "slice", "array", "mask"]))
        if kind == "int":
            items.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            bound = st.none() | st.integers(-n - 1, n + 1)
            items.append(slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, -1, -2]))))
        elif kind == "array":
            size = math.prod(common)
            numbers = draw(st.lists(st.integers(-n, n - 1), min_size=size, max_size=size))
            items.append(np.array(numbers, int).reshape(common))
        elif masked or common != (2,) or n < 2:
            items.append(slice(None))
        else:  # as long as the other arrays, so that they broadcast
            mask = np.zeros(n, bool)
            mask[draw(st.permutations(range(n)))[:2]] = True
            items.append(mask)
            masked = True
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))) if len(items) == len(shape) else len(items), ...)
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), None)
    return shape, tuple(items)


@given(indexed_shapes())
@settings(max_examples=300)
def test_any_index_reads_writes_and_transposes_as_numpy(indexed):
    shape, index = indexed
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    expected = x[index]
    v = rng.normal(size=expected.shape)
    t = mg.asarray(x)
    np.testing.assert_array_equal(t[index], expected)
    scattered = np.zeros(shape)
    np.add.at(scattered, index, v)
    np.testing.assert_allclose(mg.grad(lambda x: mg.sum(x[index] * v))(t), scattered, atol=1e-14)
    np.testing.assert_allclose(t.at[index].add(v), x + scattered, atol=1e-14)
    written = x.copy()
    written[index] = v
    np.testing.assert_array_equal(t.at[index].set(v), written)
    batch = rng.normal(size=(2, *shape))
    np.testing.assert_array_equal(mg.vmap(lambda x: x[index])(batch), np.stack([b[index] for b in batch]))
    mapped = mg.vmap(lambda x: x.at[index].set(v))(batch)
    np.testing.assert_array_equal(mapped[1], mg.asarray(batch[1]).at[index].set(v))
    g = mg.grad(lambda v: mg.sum(t.at[index].set(v) * mg.asarray(scattered + x)))(v)
    np.testing.assert_allclose(g, _last_writes(shape, index, scattered + x, v.shape), atol=1e-14)


def _last_writes(shape, index, weights, value_shape):
    """For each element written, the weight of its place if it is the last to be written there, else 0."""
    owner = np.full(shape, -1)
    numbers = np.arange(math.prod(value_shape)).reshape(value_shape)
    owner[index] = numbers
    return np.where(owner[index] == numbers, weights[index], 0.0)


@st.composite
def einsums(draw):
    letters = "abcd"
    sizes = dict(zip(letters, draw(st.lists(st.integers(1, 3), min_size=4, max_size=4)), strict=True))
    terms = draw(st.lists(st.lists(st.sampled_from(letters), min_size=0, max_size=3), min_size=1, max_size=3))
    used = sorted(set(itertools.chain.from_iterable(terms)))
    output = draw(st.lists(st.sampled_from(used), unique=True)) if used else []
    return ",".join("".join(t) for t in terms) + "->" + "".join(output), [tuple(sizes[c] for c in t) for t in terms]


@given(einsums())
@settings(max_examples=150)
def test_any_einsum_is_numpys_and_its_gradient_transposes_it(drawn):
    subscripts, shapes = drawn
    rng = np.random.default_rng(0)
    operands = [rng.normal(size=s) for s in shapes]
    expected = np.einsum(subscripts, *operands)
    np.testing.assert_allclose(mg.einsum(subscripts, *map(mg.asarray, operands)), expected, atol=1e-12)
    g = rng.normal(size=expected.shape)
    for k, x in enumerate(operands):
        v = rng.normal(size=x.shape)

        def f(x, k=k):
            return mg.einsum(subscripts, *operands[:k], x, *operands[k + 1 :])

        pulled = mg.vjp(f, mg.asarray(x))[1](g)[0]
        pushed = mg.jvp(f, (mg.asarray(x),), (v,))[1]
        moved = np.einsum(subscripts, *operands[:k], v, *operands[k + 1 :])
        np.testing.assert_allclose(pushed, moved, atol=1e-12)
        np.testing.assert_allclose(np.vdot(pulled, v), np.vdot(g, moved), atol=1e-11)


@given(st.lists(st.integers(0, 3), max_size=3), st.data())
@settings(max_examples=150)
def test_broadcasting_and_reductions_take_any_shape(shape, data):
    rng = np.random.default_rng(0)
    lead = data.draw(st.integers(0, len(shape)))
    small = [1 if n and data.draw(st.booleans()) else n for n in shape[lead:]]
    x, y = rng.normal(size=shape), rng.normal(size=small)
    g = rng.normal(size=np.broadcast_shapes(x.shape, y.shape))
    for a, b in ((x, y), (y, x)):
        found = mg.grad(lambda a, b: mg.sum(a * b * g), argnums=(0, 1))(a, b)
        for got, v, other in ((found[0], a, b), (found[1], b, a)):
            np.testing.assert_allclose(np.vdot(got, v), np.sum(v * other * g), atol=1e-12)
            assert got.shape == v.shape
    rank = len(shape)
    axes = st.lists(st.integers(-rank, rank - 1), unique_by=lambda a: a % rank).map(tuple) if rank else st.none()
    options = {"axis": data.draw(st.none() | axes), "keepdims": data.draw(st.booleans())}
    for name in ("sum", "prod"):
        np.testing.assert_allclose(getattr(mg, name)(x, **options), getattr(np, name)(x, **options), atol=1e-13)
