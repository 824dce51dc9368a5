"""The lessons run as a reader runs them: what they claim in print holds, and what they draw is there."""

from __future__ import annotations

import ast
import math
import re
import shutil

import numpy as np
import pytest
from example_runs import EXAMPLES, run
from places import CUPY, needs_cuda

LESSONS = sorted(path.stem for path in (EXAMPLES / "lessons").glob("[0-9]*.py"))


@pytest.fixture
def lesson(tmp_path):
    """Runs a lesson as one who has downloaded it, in a folder of its own; its output. It must draw one picture, which
    is not blank."""

    def follow(name, **variables):
        script = tmp_path / f"{name}.py"
        shutil.copyfile(EXAMPLES / "lessons" / script.name, script)
        code, output, errors = run(script, cwd=tmp_path, **variables)
        assert code == 0, errors
        assert {path.name for path in tmp_path.iterdir()} == {f"{name}.py", f"{name}.png"}
        from matplotlib.image import imread

        picture = imread(tmp_path / f"{name}.png")[..., :3]
        assert min(picture.shape[:2]) > 500
        ink = picture.min(axis=-1) < 0.9
        assert ink.mean() > 0.01
        for half in (ink[:, : ink.shape[1] // 2], ink[:, ink.shape[1] // 2 :]):
            assert half.any(axis=0).mean() > 0.5  # something in most columns of either half
        return output

    return follow


def floats(pattern, output):
    """Every match of a pattern, its groups as numbers."""
    number = r"([-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?)"
    found = re.findall(pattern.replace("#", number), output, re.MULTILINE)
    assert found, f"{pattern} is not in\n{output}"
    return np.array([[float(x.replace(",", "")) for x in np.atleast_1d(groups)] for groups in found])


def test_a_start_one_step_away_is_where_the_formula_says_and_better_after_the_step(lesson):
    output = lesson("0_one_step_away")
    joint, maml, formula = floats(r"start \(#, #\)", output)
    np.testing.assert_allclose(maml, formula, atol=1e-4)
    assert np.linalg.norm(joint - maml) > 0.5
    (joint, maml) = floats(r"loss #, after one step #", output)
    assert joint[0] < maml[0]
    assert maml[1] < joint[1]
    far, near = floats(r"one step \[ *# +# +#\]", output)
    assert (near < 0.3).all()  # every task is one step away
    assert far.max() > 1


def test_the_gradients_of_the_first_lesson_are_right_and_of_the_orders_it_counts(lesson):
    output = lesson("1_derivative_orders")
    (first,), (second,) = floats(r"f'  = #", output), floats(r"f'' = #", output)
    assert first[0] == pytest.approx(math.exp(0.5) * (math.sin(0.5) + math.cos(0.5)), rel=1e-14)
    assert second[0] == pytest.approx(2 * math.exp(0.5) * math.cos(0.5), rel=1e-14)
    for total, *orders in floats(r"depends on +# equations.*\[#, #, #\]", output):
        assert sum(orders) == total
    assert "check_gradients: all derivatives agree" in output


def test_the_boxed_equation_holds_to_the_last_digits(lesson):
    output = lesson("2_boxed_equation")
    _, through, product = floats(r"^ +# +# +#$", output).T
    assert len(through) == 13
    np.testing.assert_allclose(through, product, atol=1e-13)
    for steps in ("one step", "five steps"):
        assert floats(rf"{steps}: agree to # digits", output)[0, 0] > 13
    for percent in floats(r"differs by #%", output)[:, 0]:
        assert percent > 20
    (low, high) = floats(r"between # and #$", output)[0]
    assert low < 0.5
    assert high > 1


def test_first_order_maml_leaves_out_the_factor_and_saves_what_is_said(lesson):
    output = lesson("3_first_order")
    exact, first = floats(r"exact # +first order #", output)[0]
    assert floats(r"leaves of the graph gives #", output)[0, 0] == first
    assert exact / first == pytest.approx(1 - 0.5 * math.cosh(0.3 - 1), rel=1e-10)
    means = floats(r"alpha # *: .*mean #", output)
    assert (abs(means) <= 1).all()
    assert list(means[:, 1]) == sorted(means[:, 1], reverse=True)
    assert means[0, 1] > 0.85
    for name in ("equations", "Mflop", "live MB"):
        full, less = floats(rf"{name} +MAML +# +first-order +#", output)[0]
        assert 0.3 < less / full < 0.8


def test_hessian_vector_products_are_exact_two_ways_and_numeric_ones_are_not(lesson):
    output = lesson("4_hessian_vector_products")
    for name in ("explicit Hessian", "reverse over reverse", "forward over reverse"):
        assert floats(rf"{name} +# digits", output)[0, 0] > 13
    assert 8 < floats(r"float64 +# digits", output)[0, 0] < 12
    assert 2 < floats(r"float32 +# digits", output)[0, 0] < 6
    assert "check_hvp: all derivatives agree" in output
    exact, pushed, numeric = floats(r"flop #, live memory #", output)
    assert (numeric < exact).all()
    assert max(exact[0], pushed[0]) < 4
    assert pushed[1] < exact[1] < 3


def test_second_derivatives_vanish_where_it_is_said_and_only_there(lesson):
    output = lesson("5_kinks")
    assert "first [0.0, 0.0, 1.0]  second [0.0, 0.0, 0.0]" in output
    assert "slopes 0.000000 on the left, 1.000000 on the right" in output
    picked, of_sixteen = floats(r"# of 16 entries are picked; entries of H that are not zero: #", output)[0]
    assert picked == of_sixteen == 4
    diagonal, x = (
        np.array(numbers.split(), float)
        for numbers in re.search(r"diagonal \[(.*)\] which is 6 x for x = \[(.*)\]", output).groups()
    )
    np.testing.assert_allclose(diagonal, 6 * x)
    assert floats(r"differ by #", output)[0, 0] < 1e-15
    sizes = floats(r"largest entry of H #", output)[:, 0]
    assert sizes[0] > 0.1
    assert (sizes[1:] < 1e-5 * sizes[:-1]).all()
    within, between = floats(r"within a layer #, between layers #", output)[0]
    assert within < 1e-13
    assert between > 0.1
    assert floats(r"changes in # of 2000 intervals", output)[0, 0] > 20
    there, elsewhere = floats(r"by up to # there, # elsewhere", output)[0]
    assert elsewhere < there / 20


def test_maml_fits_the_curvature_to_its_step(lesson):
    output = lesson("6_curvature")
    np.testing.assert_allclose(floats(r"matrix: # # # for", output)[0], [7, 5, -3], atol=1e-8)
    alphas, before, after = floats(r"^alpha # *:.* before #, after #", output).T
    assert list(alphas) == [0.002, 0.01, 0.05]
    assert after[0] > 1.3 * before[0]
    assert after[2] < before[2] / 2
    assert max(after) < 2 < max(before)
    spans = floats(r"factor of # before, # after", output)[0]
    assert spans[0] == pytest.approx(25)  # that of the steps: the start is the same
    assert spans[1] < 10
    random, joint, maml = floats(r"query loss #, after one step #, after five #", output)
    assert random[1] > random[0]
    assert joint[1] > joint[0]
    assert maml[2] < maml[1] < maml[0]


def test_unrolling_costs_the_memory_and_grows_at_the_rates_that_are_said(lesson):
    output = lesson("7_unrolling")
    one, _, fifty, work = floats(r"1 steps #, 10 steps #, 50 steps #; operations #", output).T
    assert fifty[0] > 15 * one[0]
    assert (fifty[1:] < fifty[0] / 3).all()
    assert ((work[1:] > 1.1) & (work[1:] < 1.6)).all()
    assert floats(r"differ by at most #", output)[0, 0] < 1e-12
    norms = floats(r"norm after 1 step #, after 50 #", output)
    assert (norms[:2, 1] < norms[:2, 0]).all()
    assert norms[2, 1] > 1e20
    for order, (rate,) in enumerate(floats(r"a step multiplies by #", output), 1):
        assert rate == pytest.approx(1.2**order, rel=1e-3)


@pytest.mark.parametrize(
    ("simulated", "compiler"), [(False, None), pytest.param(True, "g++", marks=needs_cuda)], ids=["plain", "simulated"]
)
def test_a_primitive_with_its_own_kernels_is_right_to_third_order(lesson, simulated, compiler):
    if compiler is None and CUPY is not None:
        pytest.skip("there is a GPU: nothing to go without")
    without = {"PATH": "/nowhere"} if compiler is None else {}
    output = lesson("8_own_primitive", **({"NUMBA_ENABLE_CUDASIM": "1"} if simulated else {}), **without)
    assert not simulated or "kernel: CUDA" in output
    pairs = floats(r"order \d: # #", output)
    assert len(pairs) == 4
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])
    x = 0.7
    assert pairs[3, 0] == pytest.approx(24 * x * (1 - x * x) / (1 + x * x) ** 4, abs=1e-11)
    assert f"third, forward over reverse over reverse: {pairs[3, 0]:+.12f}" in output
    assert output.count("check_gradients: all derivatives agree") == (1 if compiler is None else 2)
    if compiler is None:
        assert "CUDA C++ is shown and not run: no GPU, and the emulation lacks the C++ compiler g++" in output
    else:
        assert floats(r"third derivative at 0.7, on .*: #$", output)[0, 0] == pytest.approx(pairs[3, 0], abs=1e-11)
    assert floats(r"falls as h\^#", output)[0, 0] == pytest.approx(4, abs=0.1)
    assert re.search(r"with a wrong rule:\n.*a derivative is wrong\b", output)
    assert floats(r"differs from the formula by at most #", output)[0, 0] < 1e-13


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_a_script_a_page_and_a_notebook_at_once(name):
    source = (EXAMPLES / "lessons" / f"{name}.py").read_text("utf-8")
    title, rule, blank, *_ = ast.get_docstring(ast.parse(source)).splitlines()
    assert rule == "=" * len(title)
    assert not blank
    assert source.count("\n# %%\n") >= 3
    assert title.startswith(f"{name[0]}. ")
    assert f'figure.savefig("{name}.png")' in source
    assert not re.search(r"plt\.(show|close)", source)  # a gallery collects the figures that are open


def test_the_lessons_are_a_numbered_path():
    assert [name[:2] for name in LESSONS] == [f"{k}_" for k in range(9)]
