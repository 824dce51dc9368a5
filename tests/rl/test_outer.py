"""Conjugate gradient solves; the trust region is honoured; a step that cannot be taken is skipped and said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from problems import learner, moved, objective
from tolerances import close

import metagrad as mg
from metagrad import optim, rl
from metagrad.errors import OptionError, ShapeError
from metagrad.rl.outer import like, vector


def definite(n=12, seed=0):
    a = np.random.default_rng(seed).normal(size=(n, n))
    return a @ a.T + n * np.eye(n)


def test_conjugate_gradient_is_the_dense_solution():
    a, b = definite(), np.arange(12.0)
    found = rl.conjugate_gradient(lambda v: a @ v, b, iterations=12, tolerance=1e-14)
    np.testing.assert_allclose(found.x, np.linalg.solve(a, b), rtol=1e-10)
    assert not found.indefinite
    assert found.residual == pytest.approx(0, abs=1e-12)


def test_conjugate_gradient_cut_short_says_its_residual():
    a, b = definite(), np.arange(12.0)
    found = rl.conjugate_gradient(lambda v: a @ v, b, iterations=3)
    assert found.iterations == 3
    assert found.residual == pytest.approx(np.linalg.norm(a @ found.x - b) / np.linalg.norm(b), rel=1e-8)


def test_conjugate_gradient_stops_at_a_direction_without_positive_curvature():
    matrix, b = np.diag([2.0, -3.0]), np.array([3.0, 1.0])
    found = rl.conjugate_gradient(lambda v: matrix @ v, b)
    assert found.indefinite
    assert np.isfinite(found.x).all()
    assert rl.conjugate_gradient(lambda v: -v, b).x.tolist() == b.tolist()
    assert rl.conjugate_gradient(lambda v: v * np.nan, b).indefinite


def test_conjugate_gradient_of_nothing_is_nothing():
    found = rl.conjugate_gradient(lambda v: v, np.zeros(3))
    assert found.x.tolist() == [0, 0, 0]
    assert not found.indefinite


def test_the_natural_gradient_is_that_of_the_dense_hessian():
    """TRPO's first step: x = (H + damping I)^-1 g, at the length where x^T H x / 2 = max_kl."""
    maml = learner(hidden=(2,))
    params, found = objective(maml)
    n = len(vector(params))
    product = found.kl_product(params)
    dense = np.stack([vector(product(like(row, params))) for row in np.eye(n)]) + 1e-3 * np.eye(n)
    g = vector(mg.grad(found.surrogate)(params))
    x = np.linalg.solve(dense, g)
    outer = rl.TRPO(1e-6, iterations=4 * n, damping=1e-3)  # so small a step that the quadratic model is exact
    after, _, report = outer.update(found, {}, params)
    step = x * np.sqrt(2e-6 / (x @ dense @ x))
    np.testing.assert_allclose(vector(after) - vector(params), step * 0.8 ** (report["tries"] - 1), rtol=1e-5)


@pytest.mark.parametrize("max_kl", [1e-4, 0.01, 0.3])
@pytest.mark.parametrize("curvature", ["fisher", "hessian"])
def test_the_line_search_honours_the_kl_and_reports_what_it_reached(max_kl, curvature):
    params, found = objective(learner())
    after, _, report = rl.TRPO(max_kl, curvature=curvature).update(found, {}, params)
    surrogate, kl = found.surrogate_and_kl(after)
    assert 0 < kl <= max_kl
    assert report["kl"] == kl
    assert report["gain"] == surrogate - float(found.surrogate(params)) > 0
    assert kl > 0.1 * max_kl  # it goes about as far as it may


def test_both_curvatures_take_the_same_step():
    params, found = objective(learner())
    steps = [rl.TRPO(curvature=c).update(found, {}, params)[0] for c in ("fisher", "hessian")]
    close(vector(steps[0]), vector(steps[1]), order=3)


class Worse:
    """An objective that falls wherever one goes, and says it rises."""

    def __init__(self, found):
        self.found = found

    def __getattr__(self, name):
        return getattr(self.found, name)

    def surrogate_and_kl(self, params):
        return -1.0, 0.001


def test_a_line_search_that_finds_nothing_leaves_the_parameters_and_says_so():
    params, found = objective(learner())
    with pytest.warns(RuntimeWarning, match=r"\[TRPO\] requires a step that raises .* but got none of 15.* skipped"):
        after, _, report = rl.TRPO().update(Worse(found), {}, params)
    assert after is params
    assert (report["skipped"], report["gain"], report["kl"]) == (1, 0, 0)


def test_an_indefinite_curvature_is_skipped_and_said():
    params, found = objective(learner())
    bad = Worse(found)
    bad.fisher_product = lambda: lambda v: like(-vector(v), params)
    with pytest.warns(RuntimeWarning, match=r"\[TRPO\] requires a direction of positive curvature but got"):
        after, _, report = rl.TRPO().update(bad, {}, params)
    assert after is params
    assert (report["indefinite"], report["skipped"]) == (1, 1)


@pytest.mark.parametrize("outer", [rl.Ascent(optim.Adam(1e-2)), rl.PPO(optim.Adam(1e-2), epochs=3)])
def test_adam_and_ppo_raise_the_surrogate(outer):
    params, found = objective(learner())
    after, state, report = outer.update(found, outer.init(params), params)
    assert report["gain"] > 0
    assert report["kl"] == float(found.kl(after)) > 0
    assert int(state["step"]) == (3 if isinstance(outer, rl.PPO) else 1)


def test_ppo_s_bound_is_the_surrogate_near_and_below_it_far_away():
    params, found = objective(learner())
    assert float(found.clipped(params, 0.2)) == pytest.approx(float(found.surrogate(params)), abs=1e-12)
    rng = np.random.default_rng(0)
    far = like(vector(params) + 0.3 * rng.standard_normal(len(vector(params))), params)
    assert float(found.clipped(far, 0.2)) < float(found.surrogate(far)) - 1e-3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rl.TRPO(0), r"\[TRPO\] requires a max_kl between 0 and inf but got 0"),
        (lambda: rl.TRPO(backtrack=1), r"\[TRPO\] requires a backtrack between 0 and 1 but got 1"),
        (lambda: rl.TRPO(damping=-1), r"\[TRPO\] requires a damping of 0 or more but got -1"),
        (lambda: rl.TRPO(curvature="flat"), r"\[TRPO\] requires a curvature that is fisher or hessian but got 'flat'"),
        (lambda: rl.TRPO(max_kl="a"), r"\[TRPO\] requires a max_kl between 0 and inf but got 'a'"),
        (lambda: rl.TRPO(damping=None), r"\[TRPO\] requires a damping of 0 or more but got None"),
        (lambda: rl.Ascent(0.1), r"\[Ascent\] requires an optimiser of metagrad.optim, .* but got 0.1"),
        (lambda: rl.PPO(optim.Adam), r"\[PPO\] requires an optimiser of metagrad.optim, .* but got <class"),
        (lambda: rl.TRPO(tries=0), r"\[TRPO\] requires .*tries.* but got 0"),
        (lambda: rl.PPO(optim.Adam(), clip=1.5), r"\[PPO\] requires a clip between 0 and 1 but got 1.5"),
        (lambda: rl.surrogate("magic"), r"\[surrogate\] requires one of log_likelihood, .* but got 'magic'"),
    ],
)
def test_settings_out_of_range_are_one_sentence(make, words):
    with warnings.catch_warnings(), pytest.raises(OptionError, match=words):
        make()


def test_away_from_the_policy_that_drew_the_data_the_whole_hessian_is_taken():
    params, found = objective(learner())
    away = moved(params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cheap, whole = (rl.TRPO(curvature=c).update(found, {}, away)[0] for c in ("fisher", "hessian"))
    assert np.array_equal(vector(cheap), vector(whole))
    assert not found.is_old(away)
    assert found.is_old(params)


@pytest.mark.parametrize(
    ("gradient", "words"), [(0.0, "but got zero"), (np.nan, "but got NaN or infinity, as of steps")]
)
def test_a_gradient_that_leads_nowhere_is_said_and_its_report_is_finite(gradient, words):
    params, found = objective(learner())
    found.surrogate = lambda p: mg.sum(p["log_std"] * gradient)
    with pytest.warns(RuntimeWarning, match=rf"gradient is finite and not zero {words}"):
        after, _, report = rl.TRPO().update(found, {}, params)
    assert after is params
    assert report["skipped"] == 1
    assert np.isfinite(list(report.values())).all()


@pytest.mark.parametrize("outer", [rl.Ascent(optim.Adam(1e-3)), rl.PPO(optim.Adam(1e-3))])
@pytest.mark.parametrize("where", ["gradient", "result"])
def test_an_optimiser_s_step_that_is_not_finite_is_skipped_and_said(outer, where):
    params, found = objective(learner())
    state = outer.init(params)
    if where == "result":
        found.surrogate_and_kl = lambda p: (np.nan, np.nan)
    else:
        found.surrogate = lambda p: mg.sum(p["log_std"] * np.nan)
        found.clipped = lambda p, clip: mg.sum(p["log_std"] * np.nan)
    with pytest.warns(RuntimeWarning, match=r"requires a surrogate whose gradient is finite.*the step is skipped"):
        after, kept, report = outer.update(found, state, params)
    assert after is params
    assert kept is state
    assert report["skipped"] == 1
    assert np.isfinite(list(report.values())).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"outer": rl.TRPO}, r"requires an outer update, such as TRPO\(\) but got <class"),
        ({"outer": optim.Adam()}, r"but got the optimiser Adam; rl.Ascent makes an outer update of it"),
        ({"lr": np.nan}, r"\[MAML\] requires an inner rate that is finite but got nan"),
        ({"outer": "trpo"}, r"\[MAML\] requires an outer update, such as TRPO\(\) but got 'trpo'"),
        ({"steps": -1}, r"\[MAML\] requires a whole number of steps, 0 or more but got -1"),
        ({"discount": 2}, r"requires a discount from 0 to 1 but got 2"),
    ],
)
def test_options_of_maml_are_checked_where_they_are_given(options, words):
    with pytest.raises(OptionError, match=words):
        learner(**options)


def test_a_policy_that_does_not_fit_the_family_is_refused_before_any_rollout():
    with pytest.raises(
        ShapeError, match=r"\[MAML\] requires a policy of 2 outputs, for Navigation's actions, but got 3"
    ):
        rl.MAML(rl.Navigation(), rl.GaussianPolicy(3), rl.TRPO())
    with pytest.raises(ShapeError, match=r"actions are real numbers, as .* but got CategoricalPolicy: one of several"):
        rl.MAML(rl.Navigation(), rl.CategoricalPolicy(2), rl.TRPO())


def test_what_is_no_family_is_refused_with_what_makes_one_of_it():
    class Environment:
        action_space = None

    words = r"requires a family of environments but got .*; GymnasiumFamily makes a family of Gymnasium's"
    with pytest.raises(OptionError, match=r"\[MAML\] " + words):
        rl.MAML(Environment(), rl.GaussianPolicy(2), rl.TRPO())
    with pytest.raises(OptionError, match=r"\[policy_for\] " + words):
        rl.policy_for(Environment())
