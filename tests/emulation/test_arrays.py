"""Arrays that stand for CuPy's: as strict as those, and with nothing that those lack."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from metagrad_kernels.emulation import EmulationError, arrays, vocabulary
from metagrad_kernels.emulation.arrays import HostCopyError, no_host_copies

X = np.arange(6.0).reshape(2, 3)
ONE = arrays.asarray(np.array(1))


def device(x=X):
    return arrays.asarray(x)


@pytest.mark.parametrize("name", sorted([*vocabulary.UFUNCS, *vocabulary.FUNCTIONS, *vocabulary.SIGNATURELESS]))
def test_cupy_has_every_function_with_these_arguments(name):
    found = pytest.importorskip("cupy", reason="CuPy is not installed")
    for part in name.split("."):
        found = getattr(found, part)
    if name in vocabulary.UFUNCS:
        assert type(found).__name__ == "ufunc"
        assert found.nin == getattr(np, name).nin
    elif name in vocabulary.FUNCTIONS:
        assert set(vocabulary.FUNCTIONS[name]) <= set(inspect.signature(found).parameters)


def test_cupys_arrays_have_every_method():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    assert {name for name in vocabulary.METHODS | vocabulary.ATTRIBUTES if not hasattr(cupy.ndarray, name)} == set()
    ours = {name for name in vars(arrays.ndarray) if not name.startswith("__")} - {"host", "read"}
    assert {name for name in ours if not hasattr(cupy.ndarray, name)} == set()


@pytest.mark.parametrize("name", sorted(vocabulary.UFUNCS))
def test_cupys_ufuncs_give_the_dtypes_of_numpys(name):
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    theirs, ours = getattr(cupy, name), getattr(np, name)
    loops = [loop.split("->") for loop in theirs.types if "E" not in loop]
    for kinds in np.ndindex(*(12,) * ours.nin):
        dtypes = [np.dtype("?bBhHiIlLefd"[k]) for k in kinds]
        try:
            with np.errstate(all="ignore"):
                found = ours(*[np.ones(1, dtype) for dtype in dtypes])
        except TypeError:
            continue  # what NumPy refuses, the shape rule refuses
        expected = [y.dtype for y in (found if isinstance(found, tuple) else (found,))]
        fitting = [out for into, out in loops if all(map(np.can_cast, dtypes, into))]
        assert [np.dtype(out) for out in fitting[0]] == expected, dtypes


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x + X,
        lambda x: X * x,
        lambda x: np.add(x, X),
        lambda x: np.add(x, np.array(2.0)),
        lambda x: np.where(x > 0, x, X),
        lambda x: np.concatenate([x, X]),
        lambda x: x[np.array([0])],
        lambda x: x[[0]],
        lambda x: x.__setitem__(0, X[0]),
        lambda x: np.asarray(x),
        lambda x: np.add.at(x, (0,), 1.0),
        lambda x: np.max(x, initial=0.0),
        lambda x: np.sum(x, axis=0, where=x > 0),
        lambda x: np.add(x, x, where=x > 0),
        lambda x: np.spacing(x),
        lambda x: np.linalg.svd(x),
        lambda x: np.maximum.reduce(x),
        lambda x: np.where(True, x, x),
        lambda x: x.mean(),
        lambda x: x.argsort(),
        lambda x: np.repeat(x, np.array([1, 2]), axis=0),
    ],
)
def test_what_cupy_or_a_step_without_copies_refuses_is_refused(call):
    with pytest.raises((TypeError, AttributeError, NotImplementedError)):
        call(device())


def test_numbers_of_python_and_numpy_go_with_arrays_and_results_are_arrays():
    x = device()
    for result in (x + 1, 2.0 * x, x * np.float32(3), np.float64(3) * x, np.add(x, np.float64(1))):
        assert type(result) is arrays.ndarray
    for result in (np.sum(x), x.max(), np.add.reduce(x, axis=(0, 1)), x[1, 2], x[0][0], arrays.asarray(3.0)):
        assert (type(result), result.shape) == (arrays.ndarray, ())
    assert (device(np.float32(X)) * 2.0).dtype == np.float32


def test_an_element_is_a_view_and_a_contiguous_array_has_an_axis():
    x = device()
    x[0][1] = 7.0
    x[1, 2].__setitem__((), 9.0)
    assert x.tolist() == [[0, 7, 2], [3, 4, 9]]
    assert arrays.ascontiguousarray(x[0, 0]).shape == (1,)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("get", lambda x: x.get()),
        ("item", lambda x: x[0, 0].item()),
        ("tolist", lambda x: x.tolist()),
        ("bool", lambda x: bool(x[0, 0] > 0)),
        ("float", lambda x: float(x[0, 0])),
        ("int", lambda x: int(x[0, 0])),
        ("index", lambda x: range(ONE)),
        ("repr", repr),
        ("set", lambda x: x.set(X)),
        ("asarray", lambda x: arrays.asarray(X)),
        ("asarray", lambda x: arrays.array([1, 2])),
        ("getitem by a boolean mask", lambda x: x[x > 0]),
        ("nonzero", np.nonzero),
        ("unique", np.unique),
    ],
)
def test_copies_between_host_and_device_can_be_forbidden(name, call):
    x = device()
    call(x)
    with no_host_copies(), pytest.raises(HostCopyError, match=rf"^\[{name}\] requires leave .* but got one of \w+\["):
        call(x)
    call(x)


def test_what_stays_on_the_device_is_not_forbidden():
    x = device()
    with no_host_copies():
        y = np.where(x > 2, np.sum(x, axis=0), arrays.full((3,), 2.0)) + arrays.arange(3)
        y[0] = 1.5
        y = y[arrays.arange(2)] @ x.T
    assert y.shape == (2, 2)


def test_which_of_two_values_stays_at_a_place_is_not_left_to_chance():
    x = device()
    x[arrays.asarray([0, 1])] = 1.0
    with pytest.raises(EmulationError, match=r"^\[setitem\] requires places that differ"):
        x[arrays.asarray([1, 1])] = 2.0


def test_a_singular_matrix_is_not_noticed():
    a = device(np.stack([np.eye(2), np.zeros((2, 2))]))
    found = np.linalg.solve(a, device(np.ones((2, 2, 1)))).get()
    np.testing.assert_array_equal(found[0], 1.0)
    assert not np.isfinite(found[1]).any()
    lower = np.linalg.cholesky(device(np.array([[[1.0, 2.0], [2.0, 1.0]]]))).get()
    assert np.isfinite(lower).all()
