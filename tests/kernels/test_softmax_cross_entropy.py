"""Softmax cross-entropy: every implementation keeps the contract that its folder states."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from at_once import at_once
from hypothesis import given, settings
from hypothesis import strategies as st
from places import each_implementation, needs_cuda, run

import metagrad_kernels
from metagrad_kernels import (
    KernelUnavailable,
    kernels,
    softmax_cross_entropy,
    softmax_cross_entropy_gradient,
)
from metagrad_kernels.dispatch import Implementation, Operation
from metagrad_kernels.softmax_cross_entropy import OPERATION, cpu

DTYPES = [np.float32, np.float64]
each_kernel = pytest.mark.parametrize("implementation", ["cpu", pytest.param("cuda", marks=needs_cuda)])
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def truth(logits, labels):
    """The losses by another way: -log(p) of each class in extended precision, weighted by the labels."""
    logits = logits.astype(np.longdouble)
    log_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    if labels.dtype.kind != "f":
        return -np.take_along_axis(log_p, labels[..., None].astype(np.int64), axis=-1)[..., 0]
    return -(labels * log_p).sum(axis=-1)


@st.composite
def problems(draw):
    """Logits, labels and a cotangent of random shapes, types, scales and strides."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lead = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    classes = draw(st.integers(1, 40))
    dtype = draw(st.sampled_from(DTYPES))
    scale = draw(st.sampled_from([0.0, 1.0, 30.0, 1000.0]))
    logits = (scale * rng.standard_normal((*lead, classes))).astype(dtype)
    if draw(st.booleans()):
        labels = rng.uniform(0, 2, (*lead, classes)).astype(draw(st.sampled_from(DTYPES)))
    else:
        labels = rng.integers(0, classes, lead).astype(draw(st.sampled_from([np.int64, np.int32, np.uint8])))
    g = rng.standard_normal(lead).astype(dtype)
    return tuple(restride(x, draw(st.sampled_from(["C", "F", "step", "reverse"]))) for x in (logits, labels, g))


def restride(x, how):
    """The same values with other strides."""
    if how == "C" or x.ndim == 0:
        return x
    if how == "F":
        return np.asfortranarray(x)
    if how == "step":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    return np.ascontiguousarray(x[..., ::-1])[..., ::-1]


@each_implementation
@given(problem=problems())
@settings(max_examples=150, deadline=None)
def test_losses_are_those_of_extended_precision(implementation, problem):
    logits, labels, _ = problem
    losses = run(softmax_cross_entropy, logits, labels, implementation=implementation)
    dtype = np.result_type(logits, labels) if labels.dtype.kind == "f" else logits.dtype
    assert (losses.shape, losses.dtype) == (logits.shape[:-1], dtype)
    # Every product with a label is rounded at the size of the spread of its row.
    spread = np.ptp(logits, axis=-1)
    weight = labels.sum(axis=-1) if labels.dtype.kind == "f" else 1
    tolerance = 8 * np.finfo(dtype).eps * (1 + spread + np.log(logits.shape[-1])) * weight
    assert np.all(np.abs(losses - truth(logits, labels)) <= tolerance)


@each_kernel
@given(problem=problems())
@settings(max_examples=150, deadline=None)
def test_the_gradient_is_the_reference_gradient(implementation, problem):
    logits, labels, g = problem
    expected = softmax_cross_entropy_gradient(logits, labels, g, implementation="reference")
    actual = run(softmax_cross_entropy_gradient, logits, labels, g, implementation=implementation)
    assert (actual.shape, actual.dtype) == (logits.shape, expected.dtype)
    np.testing.assert_allclose(actual, expected, rtol=1e-5 if actual.dtype == np.float32 else 1e-13, atol=3e-5)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("rows", "classes"), [(2 * cpu.BLOCK + 1, 1), (1000, 3), (3, cpu.BLOCK), (2, cpu.BLOCK + 7)])
def test_rows_that_fill_several_blocks_are_each_computed(rows, classes, soft):
    rng = np.random.default_rng(0)
    logits, g = rng.standard_normal((rows, classes)), rng.standard_normal(rows)
    labels = rng.uniform(0, 2, (rows, classes)) if soft else rng.integers(0, classes, rows)
    for function, arguments in (
        (softmax_cross_entropy, (logits, labels)),
        (softmax_cross_entropy_gradient, (logits, labels, g)),
    ):
        expected = function(*arguments, implementation="reference")
        np.testing.assert_allclose(function(*arguments, implementation="cpu"), expected, rtol=1e-12, atol=1e-12)


@each_kernel
@each_dtype
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("rows", "classes"), [(301, 1), (3, 1024), (2, 1025), (2, 65536)])
def test_any_number_of_classes_is_served(implementation, dtype, soft, rows, classes):
    rng = np.random.default_rng(0)
    logits, g = rng.standard_normal((rows, classes)).astype(dtype), rng.standard_normal(rows).astype(dtype)
    labels = rng.uniform(0, 2 / classes, (rows, classes)).astype(dtype) if soft else rng.integers(0, classes, rows)
    rtol = 100 * np.finfo(dtype).eps
    for function, arguments in (
        (softmax_cross_entropy, (logits, labels)),
        (softmax_cross_entropy_gradient, (logits, labels, g)),
    ):
        exact = [x.astype(np.float64) if x.dtype == dtype else x for x in arguments]
        expected = function(*exact, implementation="reference")
        got = run(function, *arguments, implementation=implementation)
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol / classes)


@needs_cuda
@each_dtype
@pytest.mark.parametrize("classes", [1, 5, 40, 1500])
@pytest.mark.parametrize("label_type", [np.int8, np.int64, np.uint16, np.uint64])
def test_on_a_device_a_label_out_of_range_gives_nan_there_and_leaves_the_others(dtype, classes, label_type):
    logits, g = np.zeros((3, classes), dtype), np.ones(3, dtype)
    outside = np.iinfo(label_type).max if label_type in (np.uint16, np.uint64) else -1
    labels = np.array([0, outside, 0], label_type)
    losses = run(softmax_cross_entropy, logits, labels, implementation="cuda")
    np.testing.assert_allclose(losses, [np.log(classes), np.nan, np.log(classes)], rtol=1e-6)
    gradient = run(softmax_cross_entropy_gradient, logits, labels, g, implementation="cuda")
    assert np.isnan(gradient[1]).all()
    assert np.isfinite(gradient[::2]).all()
    beside = run(softmax_cross_entropy, logits, np.full(3, classes), implementation="cuda")
    assert np.isnan(beside).all()


@each_implementation
@pytest.mark.parametrize("soft", [False, True])
def test_gradient_is_the_slope_of_the_losses(implementation, soft):
    rng = np.random.default_rng(0)
    logits, g, h = rng.standard_normal((3, 4, 5)), rng.standard_normal((3, 4)), 1e-5
    labels = rng.uniform(0, 2, (3, 4, 5)) if soft else rng.integers(0, 5, (3, 4))
    direction = rng.standard_normal(logits.shape)

    def objective(x):
        return np.vdot(g, run(softmax_cross_entropy, x, labels, implementation=implementation))

    slope = (objective(logits + h * direction) - objective(logits - h * direction)) / (2 * h)
    gradient = run(softmax_cross_entropy_gradient, logits, labels, g, implementation=implementation)
    assert np.vdot(gradient, direction) == pytest.approx(slope, rel=1e-8)


@each_dtype
def test_cpu_exponential_is_exact_to_two_units_in_the_last_place(dtype):
    # Two classes with logits 0 and x, x <= 0: the second entry of the softmax is exp(x) / (1 + exp(x)).
    x = np.linspace(-80, 0, 20011, dtype=dtype)
    logits = np.stack([np.zeros_like(x), x], axis=1)
    p = softmax_cross_entropy_gradient(logits, np.zeros(len(x), int), np.ones_like(x), implementation="cpu")[:, 1]
    exact = np.exp(x.astype(np.longdouble))
    assert np.abs(p / (exact / (1 + exact)) - 1).max() < 3 * np.finfo(dtype).eps


@each_implementation
@each_dtype
def test_a_class_at_minus_infinity_has_probability_zero(implementation, dtype):
    logits = np.array([[0, -np.inf, 0], [-np.inf, -np.inf, 7]], dtype)
    soft = np.array([[1, 0, 1], [0, 0, 1]], dtype)
    losses = run(softmax_cross_entropy, logits, np.array([0, 2]), implementation=implementation)
    np.testing.assert_allclose(losses, [np.log(2), 0], rtol=1e-6)
    losses = run(softmax_cross_entropy, logits, soft, implementation=implementation)
    np.testing.assert_allclose(losses, [2 * np.log(2), 0], rtol=1e-6)
    gradient = run(softmax_cross_entropy_gradient, logits, soft, np.ones(2, dtype), implementation=implementation)
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))
    assert run(softmax_cross_entropy, logits, np.array([1, 2]), implementation=implementation)[0] == np.inf


@each_implementation
@each_dtype
@pytest.mark.parametrize("row", [[np.nan, 0], [0, np.nan], [np.inf, 0], [-np.inf, -np.inf]])
def test_rows_without_an_answer_give_nan_and_leave_the_others(implementation, dtype, row):
    logits = np.array([row, [0, 0]], dtype)
    for labels in (np.array([0, 0]), np.array([[1, 0], [1, 0]], dtype)):
        losses = run(softmax_cross_entropy, logits, labels, implementation=implementation)
        assert np.isnan(losses[0])
        assert losses[1] == pytest.approx(np.log(2))
        gradient = run(softmax_cross_entropy_gradient, logits, labels, np.ones(2, dtype), implementation=implementation)
        assert np.isnan(gradient[0]).any()
        np.testing.assert_allclose(gradient[1], [-0.5, 0.5])


@each_implementation
def test_inputs_are_neither_changed_nor_aliased(implementation):
    rng = np.random.default_rng(1)
    logits, g = rng.standard_normal((6, 3)), rng.standard_normal(6)
    for labels in (rng.integers(0, 3, 6), rng.uniform(0, 1, (6, 3))):
        inputs = [logits, labels, g]
        before = [x.copy() for x in inputs]
        for x in inputs:
            x.flags.writeable = False
        losses = run(softmax_cross_entropy, logits, labels, implementation=implementation)
        gradient = run(softmax_cross_entropy_gradient, logits, labels, g, implementation=implementation)
        for x, copy in zip(inputs, before, strict=True):
            np.testing.assert_array_equal(x, copy)
            assert not np.shares_memory(x, losses)
            assert not np.shares_memory(x, gradient)
        assert losses.flags.writeable
        assert gradient.flags.writeable


@each_implementation
def test_a_cotangent_may_be_broadcast_and_of_another_type(implementation):
    logits, labels = np.eye(4, 3, dtype=np.float32), np.array([0, 1, 2, 0])
    g = np.broadcast_to(np.float64(0.25), (4,))
    gradient = run(softmax_cross_entropy_gradient, logits, labels, g, implementation=implementation)
    dense = run(
        softmax_cross_entropy_gradient, logits, labels, np.full(4, 0.25, np.float32), implementation=implementation
    )
    assert gradient.dtype == np.float32
    np.testing.assert_array_equal(gradient, dense)


@each_dtype
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("classes", [1, 5, 8, 17, 37, 100])
def test_bits_do_not_depend_on_where_the_arrays_lie_in_memory(dtype, soft, classes):
    # What lies how close to what can only be set where the kernels are handed the results' memory.
    rng = np.random.default_rng(3)
    labels = rng.uniform(0, 1, (1, classes)).astype(dtype) if soft else np.array([classes - 1])
    losses_kernel, gradient_kernel = [
        cpu._kernel(function, np.dtype(dtype))
        for function in ((cpu._soft_losses, cpu._soft_gradient) if soft else (cpu._losses, cpu._gradient))
    ]
    memory, g, values = np.zeros(1000, dtype), np.array([0.7], dtype), rng.standard_normal(classes)
    losses, gradients, failed = set(), set(), np.zeros(1, np.bool_)
    for distance in range(classes, classes + 70):
        for start, end in ((400, 400 + distance), (400, 400 - distance)):
            logits = memory[start : start + classes].reshape(1, classes)
            logits[:] = values
            loss, gradient = memory[end : end + 1], memory[end : end + classes].reshape(1, classes)
            losses_kernel(logits, labels, loss, failed, units=1, cost=0)
            losses.add(loss.tobytes())
            gradient_kernel(logits, labels, g, gradient, failed, units=1, cost=0)
            gradients.add(gradient.tobytes())
    assert len(losses) == len(gradients) == 1


@each_kernel
@each_dtype
def test_a_row_has_the_same_bits_alone_and_in_a_batch(implementation, dtype):
    rng = np.random.default_rng(4)
    for classes in (1, 5, 8, 17, 37, 100):
        logits, labels = rng.standard_normal((6, classes)).astype(dtype), rng.integers(0, classes, 6)
        one = [
            run(softmax_cross_entropy, logits[k : k + 1], labels[k : k + 1], implementation=implementation)[0]
            for k in range(6)
        ]
        together = run(softmax_cross_entropy, logits, labels, implementation=implementation)
        np.testing.assert_array_equal(together, one)


def test_two_threads_at_once_get_the_bits_of_one():
    rng = np.random.default_rng(2)
    logits, labels, g = rng.standard_normal((500, 50)), rng.integers(0, 50, 500), rng.standard_normal(500)

    def both():
        return softmax_cross_entropy(logits, labels), softmax_cross_entropy_gradient(logits, labels, g)

    expected = both()
    for found in at_once(both, threads=2, times=100):
        for got, want in zip(found, expected, strict=True):
            np.testing.assert_array_equal(got, want)


X = np.zeros((2, 3))


@pytest.mark.parametrize("implementation", ["reference", "cpu"])
@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        (X, np.array([0, 3]), IndexError, "requires integer labels from 0 to 2 but got 3"),
        (X, np.array([-1, 0], np.int8), IndexError, "requires integer labels from 0 to 2 but got -1"),
        (X, np.array([0, 2**64 - 1], np.uint64), IndexError, f"but got {2**64 - 1}"),
        (X[0], np.array(5), IndexError, "requires integer labels from 0 to 2 but got 5"),
        (X.astype(int), np.array([0, 1]), TypeError, "requires logits of float32 or float64 but got int64"),
        (X.astype(">f8"), np.array([0, 1]), TypeError, "requires logits of float32 or float64 but got >f8"),
        (X, np.array([True, False]), TypeError, "requires labels of an integer type, float32 or float64 but got bool"),
        (X, np.zeros((2, 1), int), ValueError, r"requires integer labels of shape \(2,\), one for each row of logits"),
        (X, np.zeros((2, 4)), ValueError, r"requires soft labels of the logits' shape \(2, 3\) but got shape \(2, 4\)"),
        (np.zeros((2, 0)), np.zeros((2, 0)), ValueError, r"with at least one class but got shape \(2, 0\)"),
        (np.zeros(()), np.zeros(()), ValueError, r"with at least one class but got shape \(\)"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(implementation, logits, labels, error, message):
    with pytest.raises(error, match=message) as caught:
        softmax_cross_entropy(logits, labels, implementation=implementation)
    assert str(caught.value).startswith("[softmax_cross_entropy] requires ")
    with pytest.raises(error, match=message):
        softmax_cross_entropy_gradient(logits, labels, np.zeros(logits.shape[:-1]), implementation=implementation)


def test_a_cotangent_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"requires a cotangent of shape \(2,\) but got shape \(3,\)"):
        softmax_cross_entropy_gradient(X, np.array([0, 1]), np.zeros(3))


def test_the_kernel_of_the_cpu_serves_by_default_and_an_unknown_name_is_refused():
    assert OPERATION.choose(X).__name__ == "metagrad_kernels.softmax_cross_entropy.cpu"
    with pytest.raises(
        ValueError, match=r"requires an implementation of \['cpu', 'reference', 'cuda', 'numba'\] but got 'gpu'"
    ):
        softmax_cross_entropy(X, np.array([0, 1]), implementation="gpu")


def test_subclasses_of_arrays_are_served_and_other_types_refused():
    assert OPERATION.choose(X.view(np.matrix)) is OPERATION.choose(X)
    with pytest.raises(TypeError, match=r"^\[softmax_cross_entropy\] requires arrays but got list$"):
        softmax_cross_entropy([[0.0, 1.0]], np.array([0]))


def test_a_missing_package_is_told_with_its_remedy(tmp_path, monkeypatch):
    package = tmp_path / "broken_operation"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "reference.py").touch()
    (package / "cpu.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    operation = Operation(
        "broken_operation",
        Implementation("cpu", "cpu", ("numpy.ndarray",), "pip install it"),
        Implementation("reference", "cpu", ("numpy.ndarray",)),
    )
    with pytest.raises(KernelUnavailable, match=r"a_package_that_is_not_there.*; install it with: pip install it"):
        operation.choose(X, "cpu")
    with pytest.warns(RuntimeWarning, match=r"a_package_that_is_not_there.*; reference runs instead"):
        assert operation.choose(X).__name__ == "broken_operation.reference"
    with warnings.catch_warnings():  # said once
        warnings.simplefilter("error")
        operation.choose(X)


def test_kernels_lists_every_implementation_of_every_operation():
    rows = {(row.operation, row.implementation): row for row in kernels()}
    folder = Path(metagrad_kernels.__file__).parent
    names = ("reference", "cpu", "cuda")
    files = {(path.parent.name, path.stem) for path in folder.glob("*/*.py") if path.stem in names}
    assert {key for key in rows if key[1] in names} == files
    assert rows["softmax_cross_entropy", "cpu"] == ("softmax_cross_entropy", "cpu", "cpu", True, "")


def run_isolated(code, cwd, **environment):
    """Run code in a fresh interpreter that finds the kernels in `cwd`."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_importing_the_kernels_does_not_import_numba():
    code = "import sys, metagrad_kernels; print('numba' in sys.modules)"
    result = run_isolated(code, Path(metagrad_kernels.__file__).parents[1])
    assert (result.stdout, result.stderr) == ("False\n", "")


def test_a_place_where_nothing_can_be_written_still_compiles(tmp_path):
    # Numba looks for a folder for its cache beside the file and in the user's home; here both are files.
    source = Path(metagrad_kernels.__file__).parent
    copy = tmp_path / "metagrad_kernels"
    for path in source.rglob("*.py"):
        target = copy / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        (target.parent / "__pycache__").touch()
    (tmp_path / "home").touch()
    code = (
        "import numpy as np, metagrad_kernels as k\n"
        "print(k.softmax_cross_entropy(np.zeros((1, 2)), np.array([0]), implementation='cpu'))\n"
        "from metagrad_kernels.softmax_cross_entropy import cpu\n"
        "print(type(cpu._kernel(cpu._losses, np.dtype(float))._entry._cache).__name__)"
    )
    result = run_isolated(code, tmp_path, HOME=str(tmp_path / "home"), XDG_CACHE_HOME=str(tmp_path / "home"))
    assert (result.stdout, result.returncode) == ("[0.69314718]\nNullCache\n", 0), result.stderr
