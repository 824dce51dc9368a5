"""The engine's promises: threads, memory, immutability, primitives of the user's own."""

from __future__ import annotations

import gc
import pickle
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import DeviceError, DTypeError, MissingRuleError, ShapeError


def close(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-12)


def test_threads_trace_at_once_without_mixing():
    barrier = threading.Barrier(4)

    def work(k):
        barrier.wait()
        for _ in range(50):
            value = mg.grad(lambda x: mg.grad(lambda y: mg.sin(x * y) * k)(x))(0.3)
            graph = mg.make_graph(mg.grad(lambda x: x**3 * k))(0.3)
            assert max(e.order for e in graph.equations) == 1
        return float(value)

    with ThreadPoolExecutor(4) as pool:
        values = list(pool.map(work, range(1, 5)))
    close(values, values[0] * np.arange(1, 5))


def test_a_function_may_hand_its_work_to_other_threads():
    def f(x):
        with ThreadPoolExecutor(2) as pool:
            parts = list(pool.map(lambda k: mg.grad(lambda y: mg.sin(y * x) * k)(x), (1.0, 2.0)))
        return parts[0] + parts[1]

    def plain(x):
        return 3 * mg.grad(lambda y: mg.sin(y * x))(x)

    close(mg.grad(f)(0.7), mg.grad(plain)(0.7))


def test_a_pullback_may_be_called_in_several_threads_at_once():
    @mg.custom_vjp
    def f(x):
        return mg.sin(x)

    f.defvjp(lambda x: (mg.sin(x), x), lambda r, g: (mg.cos(r) * g,))
    x = np.linspace(0, 1, 50)
    _, pullback = mg.vjp(mg.vmap(f), x)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: pullback(mg.ones(50))[0], range(400)))
    finally:
        sys.setswitchinterval(interval)
    for gradient in found:
        close(gradient, np.cos(x))


def test_no_reference_cycles_are_left():
    def work():
        x = mg.asarray(np.linspace(0, 1, 5))
        w = mg.ones((5, 5))
        mg.grad(lambda x: mg.sum(mg.grad(lambda y: mg.sum(mg.tanh(w @ y)))(x)))(x)
        mg.hvp(lambda x: mg.sum(mg.exp(x)), (x,), (x,), mode="forward_over_reverse")
        mg.vmap(mg.grad(lambda y: mg.sum(y**2)))(w)
        mg.make_graph(mg.grad(lambda x: mg.sum(mg.sin(x))))(x)(x)
        mg.grad(lambda x: mg.sum(mg.checkpoint(mg.sin)(x)))(x)
        mg.hessian(lambda x: mg.sum(x**3))(x)

    work()
    gc.collect()
    gc.disable()
    try:
        work()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_memory_goes_with_the_last_reference():
    buffers = []

    class Probe(mg.Primitive):
        def forward(self, x):
            y = x + 0.0
            buffers.append(weakref.ref(y))
            return y

        def abstract(self, x):
            return x

        def vjp(self, i, cotangent, output, x):
            return cotangent * output

    gc.disable()
    try:
        mg.grad(lambda x: mg.sum(Probe()(Probe()(x))))(mg.ones(3))
        assert [b() for b in buffers] == [None, None]
    finally:
        gc.enable()


def test_a_deep_chain_does_not_overflow_the_stack():
    def f(x):
        for _ in range(20_000):
            x = x * 1.0001
        return x

    close(mg.grad(f)(1.0), 1.0001**20_000)


def test_changing_an_array_cannot_change_a_gradient():
    data = np.array([1.0, 2.0, 3.0])

    def f(w):
        y = mg.sum(w * data)
        data[:] = 100.0
        return y

    close(mg.grad(f)(mg.ones(3)), [1, 2, 3])
    view = np.broadcast_to(np.array([5.0]), (3,))
    t = mg.asarray(data)
    data[:] = -1
    close(t, [100, 100, 100])
    close(mg.grad(lambda w: mg.sum(w * view))(mg.ones(3)), [5, 5, 5])


def test_what_goes_out_cannot_be_written():
    x = mg.asarray([1.0, 2.0])
    for out in (np.asarray(x), x.numpy(), np.asarray(x + 1), np.asarray(mg.grad(mg.sum)(x))):
        with pytest.raises(ValueError, match="read-only"):
            out[0] = 5
    copy = np.array(x)
    copy[0] = 5
    close(x, [1, 2])


def test_numpy_hands_its_operators_over():
    x = mg.asarray([1.0, 2.0])
    for found in (np.ones(2) + x, np.float64(2) * x, np.eye(2) @ x, np.ones(2) - x, 3 / x):
        assert isinstance(found, mg.Tensor)
    close(mg.grad(lambda x: mg.sum(np.array([1.0, 3.0]) * x))(x), [1, 3])
    close(np.from_dlpack(x), [1, 2])
    assert x.__array_namespace__() is mg


def test_scalars_are_weak_and_arrays_keep_their_dtype():
    x = mg.ones(2, dtype=mg.float32)
    assert (x * 2.0).dtype == np.float32
    assert (x + mg.ones(2)).dtype == np.float64
    assert mg.asarray(2.0).dtype == np.float64
    assert mg.grad(lambda x: mg.sum(x**2 * 0.5))(x).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: mg.ones(2) + mg.ones(3),
            ShapeError,
            r"\[add\] requires shapes that broadcast to one but got \(2,\) and \(3,\)",
        ),
        (lambda: mg.ones((2, 3)) @ mg.ones((4, 5)), ShapeError, r"\[matmul\] .* but got \(2, 3\) and \(4, 5\)"),
        (lambda: mg.reshape(mg.ones(6), (4, 2)), ShapeError, r"\[reshape\] requires a shape of 6 elements"),
        (lambda: mg.asarray([1j]), DTypeError, "complex numbers are refused"),
        (lambda: mg.ones(2) * 1j, DTypeError, "complex"),
        (lambda: mg.asarray(["a"]), DTypeError, r"\[asarray\]"),
        (lambda: mg.asarray([[1.0], [1.0, 2.0]]), DTypeError, "nested lists of equal lengths"),
        (lambda: mg.asarray([1.0], device="tpu"), DeviceError, "'cpu', 'cuda' or 'emulated' but got 'tpu'"),
        (lambda: mg.sum(mg.ones(3), axis=1), ShapeError, "an axis of an array with 1 axes but got 1"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_two_devices_in_one_operation_are_refused():
    from metagrad.ops.arithmetic import Add

    with pytest.raises(DeviceError, match=r"\[add\] requires arrays of one device but got cpu and cuda:0"):
        Add().abstract(mg.Aval((2,), np.dtype(float)), mg.Aval((2,), np.dtype(float), "cuda:0"))


@dataclass(frozen=True)
class Power(mg.Primitive):
    """x ** n, with all its rules."""

    n: int

    def forward(self, x):
        return x**self.n

    def abstract(self, x):
        return x

    def vjp(self, i, cotangent, output, x):
        return cotangent * self.n * Power(self.n - 1)(x)

    def jvp(self, i, tangent, output, x):
        return tangent * self.n * Power(self.n - 1)(x)

    def batch(self, batched, x):
        return self.bind(x)


def test_a_primitive_of_ones_own_is_one_class():
    assert Power(3) is Power(3)
    close(mg.grad(mg.grad(mg.grad(Power(5))))(2.0), 60 * 4.0)
    close(mg.hvp(lambda x: mg.sum(Power(3)(x)), (np.arange(3.0),), (np.ones(3),)), 6 * np.arange(3.0))
    close(mg.jacfwd(mg.jacfwd(Power(3)))(2.0), 12.0)
    close(mg.vmap(mg.grad(Power(3)))(np.arange(3.0)), 3 * np.arange(3.0) ** 2)
    assert str(mg.make_graph(Power(3))(1.0).equations[0]) == "b = power(a; n 3)  f64[]"


def test_a_missing_rule_names_the_class():
    class Half(mg.Primitive):
        def forward(self, x):
            return x / 2

    close(Half()(3.0), 1.5)
    for transform, rule in (
        (lambda: mg.grad(Half())(1.0), "vjp"),
        (lambda: mg.jvp(Half(), (1.0,), (1.0,)), "jvp"),
        (lambda: mg.vmap(Half())(mg.ones(2)), "batch"),
        (lambda: mg.make_graph(Half())(1.0), "abstract"),
    ):
        with pytest.raises(MissingRuleError, match=f"\\[half\\] requires a rule `{rule}`.*define Half.{rule}"):
            transform()


def test_python_numbers_come_out_as_tensors():
    for found in (mg.stop_gradient(1.5), Power(2)(1.5), mg.exp(0.0), mg.positive(2)):
        assert isinstance(found, mg.Tensor)
        assert found.shape == ()
        assert str(found).startswith("Tensor(")


def test_stop_gradient_stops_every_derivative():
    close(mg.grad(lambda x: mg.stop_gradient(x) * x)(3.0), 3.0)
    close(mg.grad(mg.grad(lambda x: mg.stop_gradient(x) * x))(3.0), 0.0)
    close(mg.jvp(mg.stop_gradient, (3.0,), (1.0,))[1], 0.0)
    assert set(mg.stop_gradient({"a": 1.0})) == {"a"}


def test_no_view_that_goes_out_or_came_in_can_change_a_pullback():
    own = np.array([1.0, 2.0])
    view = own.view()
    own.flags.writeable = False
    x = mg.asarray([1.0, 2.0])
    output, pull = mg.vjp(lambda a, b: mg.exp(a) * b, own, x)
    view[:] = 100
    for out in (np.asarray(output), x.numpy()):
        with pytest.raises(ValueError, match="WRITEABLE"):
            out.flags.writeable = True
    close(pull(mg.ones(2))[1], np.exp([1.0, 2.0]))


def test_an_escaped_tracer_is_refused_wherever_it_comes_in():
    kept = []
    mg.grad(lambda x: kept.append(x) or x * x)(2.0)
    for use in (
        lambda x: mg.grad(lambda y: x)(1.0),
        lambda x: mg.jvp(lambda y: x, (1.0,), (1.0,)),
        lambda x: mg.value_and_grad(lambda y: (y, x), has_aux=True)(1.0),
        lambda x: mg.positive(x),
        lambda x: mg.reshape(x, ()),
        lambda x: mg.make_graph(lambda y: y + x)(1.0),
    ):
        with pytest.raises(mg.errors.TraceError, match="escaped from grad"):
            use(kept[0])


def test_tensors_are_pickled_by_value():
    close(pickle.loads(pickle.dumps(mg.asarray([1.0, 2.0]))), [1, 2])


def test_a_contraction_of_many_operands_leaves_no_cycles():
    x, w = mg.ones(5), mg.ones((5, 5))
    mg.einsum("i,ij,jk,k", x, w, w, x)
    gc.collect()
    gc.disable()
    try:
        close(mg.einsum("i,ij,jk,k", x, w, w, x), 125.0)
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("made", "got"),
    [
        (lambda c, x: mg.reshape(c, (-1,)), r"shape \(3,\)"),
        (lambda c, x: c[:, :2], r"shape \(1, 2\)"),
        (lambda c, x: 0.0, "float 0.0"),
    ],
)
def test_a_rule_whose_gradient_has_another_shape_is_refused(made, got):
    class Sine(mg.Primitive):
        def forward(self, x):
            return np.sin(x)

        def vjp(self, i, cotangent, output, x):
            return made(cotangent, x)

    with pytest.raises(
        ShapeError, match=rf"^\[sine\] requires a rule `vjp` .* shape \(1, 3\) of its input 0 but got {got}"
    ):
        mg.grad(lambda x: mg.sum(Sine()(x)))(np.ones((1, 3)))
