"""An exception in a derivative says which line's derivative it was; debug_nans stops where the first NaN is made."""

from __future__ import annotations

import inspect
import threading

import numpy as np
import pytest

import metagrad as mg
from metagrad.core import provenance
from metagrad.errors import NonFiniteError


class Broken(mg.Primitive):
    """Its cotangent has the wrong shape: it fails only when a gradient is taken."""

    def forward(self, x):
        return 1.0 * x

    def abstract(self, x):
        return x

    def batch(self, batched, x):
        return self.bind(x)

    def jvp(self, i, tangent, output, x):
        return tangent

    def vjp(self, i, cotangent, output, x):
        return cotangent * np.ones(7)


class BrokenLater(Broken):
    """Its derivative is right, and the derivative of that fails."""

    def vjp(self, i, cotangent, output, x):
        return cotangent * Broken()(x)


X = np.arange(1.0, 5.0)


def net(x, primitive):
    h = mg.tanh(x)
    return mg.sum(primitive(h) * h)  # the line


def line_of(function, text):
    """Where a line stands, as an error writes it."""
    lines, first = inspect.getsourcelines(function)
    (k,) = [k for k, line in enumerate(lines) if text in line]
    return f"{__file__}:{first + k} in {function.__name__}:\n    {lines[k].strip()}"


def first(x):
    return net(x, Broken())


def second(x):
    return mg.sum(mg.grad(lambda x: net(x, BrokenLater()))(x) ** 2)


def notes(call, kind=Exception):
    """What the exception of a call says beside its message."""
    with pytest.raises(kind) as caught:
        call()
    return "\n".join(getattr(caught.value, "__notes__", []))


@pytest.mark.parametrize(
    ("call", "history"),
    [
        (lambda: mg.grad(first)(X), "`broken` (order 0)"),
        (lambda: mg.vjp(first, X)[1](1.0), "`broken` (order 0)"),
        (lambda: mg.grad(second)(X), "`broken` (order 1), which the derivative of `broken_later` runs"),
        (lambda: mg.vmap(mg.grad(second))(np.ones((3, 4))), "`broken` (order 1), which the derivative of"),
        (lambda: mg.grad(lambda x: mg.sum(mg.vmap(mg.grad(first))(x)))(np.ones((3, 4))), "`broken` (order 0)"),
        (lambda: mg.grad(mg.checkpoint(first))(X), "`broken` (order 0)"),
        (lambda: mg.grad(mg.checkpoint(second))(X), "`broken` (order 1)"),
        (lambda: mg.make_graph(mg.grad(second))(X), "`broken` (order 1)"),
        (lambda: mg.jvp(mg.grad(first), (X,), (X,)), "`broken` (order 0)"),
        (lambda: mg.jacrev(first)(X), "`broken` (order 0)"),
    ],
)
def test_an_exception_in_a_derivative_names_the_line_of_user_code(call, history):
    text = notes(call)
    assert f"raised by the derivative rule of {history}" in text
    assert f"written at {line_of(net, '# the line')}" in text
    assert text.count("[metagrad]") == 1
    assert (provenance.noting, provenance.locating) == (0, 0)


def test_the_function_runs_once_more_only_when_its_derivative_fails():
    calls = []

    def f(x, primitive):
        calls.append(1)
        return net(x, primitive)

    mg.grad(lambda x: f(x, mg.sin))(X)
    assert len(calls) == 1
    notes(lambda: mg.grad(lambda x: f(x, Broken()))(X))
    assert len(calls) == 3


def test_what_fails_in_the_function_itself_is_left_alone():
    def f(x):
        raise KeyError("a")

    assert notes(lambda: mg.grad(f)(X), KeyError) == ""


def test_a_failure_that_does_not_come_again_is_raised_as_it_was():
    once = iter([True])

    class Flaky(Broken):
        def vjp(self, i, cotangent, output, x):
            if next(once, False):
                raise LookupError("once")
            return cotangent

    assert notes(lambda: mg.grad(lambda x: net(x, Flaky()))(X), LookupError) == ""


def norm(x):
    r = mg.sum(x * x)
    return 2.0 * mg.sqrt(r)  # the root


def power(x):
    return mg.sum(x**1.5)  # the power


def slope(f):
    return lambda x: mg.sum(mg.grad(f)(x))


@mg.custom_vjp
def own(x):
    return mg.sum(x)


own.defvjp(lambda x: (mg.sum(x), x), lambda x, g: (g / x,))


def uses_own(x):
    return own(x) + 1.0  # the call


def in_a_thread(call):
    """What a call does in another thread."""
    raised = []

    def work():
        try:
            call()
        except NonFiniteError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    raise raised[0]


ZEROS = np.zeros(3)
ROWS = np.stack([X[:3], ZEROS])
AT_ROOT, AT_POWER, AT_CALL = (norm, "# the root"), (power, "# the power"), (uses_own, "# the call")


@pytest.mark.parametrize(
    ("call", "message", "history", "line"),
    [
        (lambda: mg.grad(norm)(ZEROS), r"\[divide\]", "`divide` (order 1), which the derivative of `sqrt`", AT_ROOT),
        (lambda: mg.jvp(norm, (ZEROS,), (ZEROS + 1,)), r"\[divide\].* got nan", "`divide` (order 1)", AT_ROOT),
        (lambda: mg.grad(slope(power))(ZEROS), r"got inf at \[0\] of shape \(3,\), 3 such of 3", "(order 2)", AT_POWER),
        (lambda: mg.jvp(slope(power), (ZEROS,), (X[:3],)), "got inf", "(order 2)", AT_POWER),
        (lambda: mg.vmap(mg.grad(norm))(ROWS), r"got inf at \[1\] of shape \(2,\)", "(order 1)", AT_ROOT),
        (lambda: mg.grad(mg.checkpoint(norm))(ZEROS), r"\[divide\]", "`divide` (order 1)", AT_ROOT),
        (lambda: mg.grad(slope(mg.checkpoint(power)))(ZEROS), "got inf", "(order 2)", AT_POWER),
        (lambda: mg.grad(uses_own)(ZEROS), r"\[divide\]", "(order 1), which the derivative of `custom_vjp`", AT_CALL),
        (lambda: in_a_thread(lambda: mg.grad(norm)(ZEROS)), r"\[divide\]", "`divide` (order 1)", AT_ROOT),
    ],
)  # fmt: skip
def test_debug_nans_stops_at_the_operation_and_names_its_order_and_line(call, message, history, line):
    with mg.debug_nans(), pytest.raises(NonFiniteError, match=message) as caught:
        call()
    (text,) = caught.value.__notes__
    assert history in text
    assert f"written at {line_of(*line)}" in text
    assert "input 0: float64" in text


def test_debug_nans_looks_into_a_graph_that_was_traced_before():
    graph = mg.make_graph(mg.grad(norm))(X[:3])
    graph(X[:3])
    with mg.debug_nans():
        text = notes(lambda: graph(ZEROS), NonFiniteError)
    assert f"written at {line_of(*AT_ROOT)}" in text


def test_debug_nans_looks_into_the_pullback_of_a_checkpoint_in_a_graph():
    graph = mg.make_graph(mg.grad(mg.checkpoint(norm)))(X[:3])
    with mg.debug_nans():
        text = notes(lambda: graph(ZEROS), NonFiniteError)
    assert "`divide` (order 1), which the derivative of `sqrt` runs" in text
    assert f"written at {line_of(*AT_ROOT)}" in text


def test_debug_nans_says_which_inputs_had_nan_already_and_their_ranges():
    with mg.debug_nans():
        text = notes(lambda: mg.multiply(np.array([1.0, np.nan, 2.0]), np.full(3, 4.0)), NonFiniteError)
    assert "input 0: float64[3] from 1 to 2, had NaN already in 1 of 3" in text
    assert "input 1: float64[3] from 4 to 4, no NaN" in text


def test_debug_nans_lets_an_infinity_pass_that_was_given():
    with mg.debug_nans():
        scores = mg.where(np.array([True, False]), np.ones(2), -np.inf)
        np.testing.assert_array_equal(mg.nn.softmax(scores), [1.0, 0.0])
        with pytest.raises(NonFiniteError, match=r"\[subtract\]"):
            mg.subtract(scores, scores)


def test_debug_nans_leaves_nothing_behind():
    bind = mg.Primitive.bind
    with mg.debug_nans():
        with mg.debug_nans():
            assert mg.Primitive.bind is not bind
        with pytest.raises(NonFiniteError):
            mg.log(0.0)
    assert mg.Primitive.bind is bind
    assert float(mg.log(0.0)) == -np.inf
    assert (provenance.noting, provenance.locating) == (0, 0)


def test_derivatives_are_the_same_while_debug_nans_is_on():
    f = mg.checkpoint(lambda x: mg.sum(mg.vmap(mg.grad(lambda y: mg.sin(y) ** 3))(x)))
    expected = mg.hessian(f)(X)
    with mg.debug_nans():
        np.testing.assert_array_equal(mg.hessian(f)(X), expected)
