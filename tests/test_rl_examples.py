"""The examples of reinforcement learning run as a person runs them, and what they print and write is right."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
from example_runs import EXAMPLES, printed, rows_in, run, start

from metagrad.rl import Navigation

KEYS = {"method", "env", "steps", "return", "ci95", "tasks", "iterations", "seed"}
SMALL = ("--iterations", 2, "--tasks", 3, "--rollouts", 3, "--test-tasks", 4, "--test-rollouts", 3, "--seed", 2)
METHODS = ("maml", "context", "pretrained", "random", "oracle")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small run of all methods."""
    out = tmp_path_factory.mktemp("navigation")
    code, output, errors = run("navigation2d.py", *SMALL, "--out", out)
    assert code == 0, errors
    return out, output


def test_navigation_writes_a_row_for_each_method_and_step(whole):
    rows = rows_in(whole[0])
    assert all(set(row) == KEYS for row in rows)
    assert [(r["method"], r["steps"]) for r in rows] == [(m, s) for m in METHODS for s in range(4)]
    assert {(r["env"], r["tasks"], r["seed"]) for r in rows} == {("navigation2d", 4, 2)}
    assert {r["iterations"] for r in rows if r["method"] == "random"} == {0}
    assert {r["iterations"] for r in rows if r["method"] != "random"} == {2}
    assert all(-200 < r["return"] < 0 < r["ci95"] for r in rows)


def test_navigation_prints_the_rows_as_a_table(whole):
    out, output = whole
    assert printed(output) == [(f"{r['return']:.2f}", f"{r['ci95']:.2f}") for r in rows_in(out)]


def test_navigation_draws_its_pictures_and_says_where_its_numbers_come_from(whole):
    out, output = whole
    names = {f"trajectories-{m}.png" for m in METHODS} | {"return-by-step.png", "training.png"}
    assert {p.name for p in out.glob("*.png")} == names
    assert all(name in output for name in names)
    origin = json.loads((out / "run.json").read_text())
    assert set(origin["best"]) == set(origin["parts"]) == set(METHODS)
    assert {"simulation", "policy", "inner gradient", "outer step"} <= set(origin["parts"]["maml"])


def test_an_oracle_s_return_does_not_change_with_steps(whole):
    rows = rows_in(whole[0])
    assert len({r["return"] for r in rows if r["method"] == "oracle"}) == 1
    assert len({r["return"] for r in rows if r["method"] == "random"}) == 4


def test_navigation_resumed_gives_the_same_results(whole, tmp_path):
    options = [*SMALL, "--methods", "maml", "random", "--out", tmp_path]
    options[1] = 1
    assert run("navigation2d.py", *options)[0] == 0
    options[1] = 2
    assert run("navigation2d.py", "--resume", *options)[0] == 0
    rows = rows_in(whole[0])
    expected = [r for r in rows if r["method"] in ("maml", "random")]
    assert rows_in(tmp_path) == expected


@pytest.mark.parametrize(("option", "value"), [("--reward", "squared_distance"), ("--max-kl", 0.5)])
def test_a_run_is_not_resumed_with_other_settings(option, value, whole, tmp_path):
    out = shutil.copytree(whole[0], tmp_path / "out")
    code, _, errors = run("navigation2d.py", *SMALL, "--methods", "maml", "--resume", option, value, "--out", out)
    assert code == 1
    assert f"requires the run's own settings, with {option[2:].replace('-', '_')} =" in errors
    assert rows_in(out) == rows_in(whole[0])


def test_a_task_whose_simulator_broke_is_left_out_of_the_mean(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    shared = importlib.import_module("_rl_experiment")
    args = SimpleNamespace(env="navigation2d", iterations=2, seed=0)
    experiment = SimpleNamespace(args=args, name="maml", method=shared.METHODS["maml"])
    returns = np.array([[1.0, 2.0, np.nan, np.nan], [3.0, np.nan, np.nan, 4.0], [5.0, 6.0, np.nan, np.nan]])
    rows = shared.rows_of(experiment, returns)
    assert [row["return"] for row in rows] == [3.0, 4.0, None, 4.0]
    assert [row["tasks"] for row in rows] == [3, 2, 0, 1]


@pytest.mark.parametrize("outer", ["adam", "ppo"])
def test_other_outer_updates_and_surrogates_run(outer, tmp_path):
    options = ("--outer", outer, "--surrogate", "dice", "--first-order", "--methods", "maml", "--out", tmp_path)
    code, output, errors = run("navigation2d.py", *SMALL, *options)
    assert code == 0, errors
    assert "first-order MAML" in output


def test_navigation_stopped_by_ctrl_c_says_one_sentence_and_goes_on(tmp_path):
    options = ("--iterations", 100_000, "--tasks", 2, "--rollouts", 2, "--methods", "maml", "--out", tmp_path)
    process = start("navigation2d.py", *options)
    checkpoint = tmp_path / "maml" / "checkpoint.safetensors"
    end = time.monotonic() + 60
    while not checkpoint.exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"MAML, navigation2d: stopped after \d+ iterations, saved in \S+; --resume goes on from", errors)
    code, _, errors = run("navigation2d.py", "--resume", "--inner-lr", 0.1, *options)
    assert code == 1
    assert "requires the run's own settings, with inner_lr = 0.5 but got inner_lr = 0.1" in errors


@pytest.mark.parametrize(
    ("name", "first"), [("maml", 1), ("context", 1), ("pretrained_early", 1), ("pretrained", 0), ("oracle", 0)]
)
def test_the_iterate_kept_is_the_best_at_what_the_method_is_for(name, first, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    example, shared = importlib.import_module("navigation2d"), importlib.import_module("_rl_experiment")
    small = [str(option) for option in SMALL]
    args = example.parse([*small, "--methods", name, "--validate-every", "1", "--out", str(tmp_path)])
    experiment = shared.Experiment(args, name, Navigation())
    kept = experiment.train()
    seen = experiment.family.sample_tasks(experiment._generator(2), args.tasks)
    returns = experiment.adapted(kept, seen, args.rollouts, experiment._generator(3))[1]
    expected = returns[:, first:].mean() if first else returns[:, 0].mean()
    assert experiment.best.score == pytest.approx(expected, rel=1e-12)


def test_shorter_later_steps_are_chosen_on_validation_tasks_and_named(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    example, shared = importlib.import_module("navigation2d"), importlib.import_module("_rl_experiment")
    args = example.parse([*map(str, SMALL), "--methods", "random", "--out", str(tmp_path)])
    experiment = shared.Experiment(args, "random", Navigation())
    params = experiment.train()
    seen = experiment.family.sample_tasks(experiment._generator(2), args.tasks)
    alpha, by_share = args.inner_lr, {}
    for later in (0.5, 0.25, 0.125):
        rates = [alpha, alpha * later, alpha * later]
        found = experiment.learner.collect(
            params, seen, experiment._generator(3), steps=3, lr=rates.__getitem__, rollouts=args.rollouts
        )
        by_share[later] = np.mean([t.returns() for t in found.trajectories[1:]])
        assert experiment.validated(params, 3, later) == pytest.approx(by_share[later], rel=1e-12)
    for best in by_share:
        monkeypatch.setattr(experiment, "validated", lambda params, steps, later, best=best: -abs(later - best))
        assert experiment.shorter(params) == best
    returns = experiment.test(params, 0.25)
    assert {row["method"] for row in shared.rows_of(experiment, returns, 0.25)} == {"random_0.25"}
    np.testing.assert_array_equal(returns[:, :2], experiment.test(params)[:, :2])
    assert (returns[:, 2] != experiment.test(params)[:, 2]).all()
    assert shared.label_of("random_0.25") == "random, later steps 0.25 of the first"
    assert shared.label_of("pretrained_early") == "pretrained, kept where it adapts best"


@pytest.mark.parametrize("env", ["cheetah-dir", "cheetah-vel", "ant-dir", "ant-vel"])
def test_locomotion_runs_in_every_environment(env, tmp_path):
    pytest.importorskip("mujoco", reason="needs MuJoCo: pip install metagrad[rl]")
    code, output, errors = run(
        "locomotion.py",
        "--env",
        env,
        *SMALL,
        "--methods",
        "maml",
        "random",
        "--out",
        tmp_path,
        METAGRAD_NUM_THREADS="1",
    )
    assert code == 0, errors
    rows = rows_in(tmp_path)
    assert [(r["method"], r["steps"], r["env"]) for r in rows] == [
        (m, s, env) for m in ("maml", "random") for s in range(4)
    ]
    film = tmp_path / f"{env}.gif"
    assert film.exists() or "No animation: [frames] requires a display" in output
    if film.exists():
        assert film.read_bytes().startswith(b"GIF8")


def test_each_environment_has_the_paper_s_setting(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    locomotion = importlib.import_module("locomotion")
    found = {env: locomotion.parse(["--env", env]) for env in locomotion.ENVIRONMENTS}
    assert {env: (a.inner_lr, a.rollouts, a.tasks, a.max_kl) for env, a in found.items()} == {
        "cheetah-dir": (0.1, 20, 40, 0.02),
        "cheetah-vel": (0.1, 20, 40, 0.01),
        "ant-dir": (0.1, 40, 40, 0.01),
        "ant-vel": (0.1, 20, 40, 0.01),
    }
    navigation = importlib.import_module("navigation2d").parse([])
    assert (navigation.inner_lr, navigation.rollouts, navigation.tasks, navigation.max_kl) == (0.5, 20, 20, 0.01)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--outer", "magic"], 2, "invalid choice: 'magic'"),
        (["--surrogate", "magic"], 2, "invalid choice: 'magic'"),
        (["--tasks", "0"], 2, "requires a whole number, at least 1, but got 0"),
        (["--inner-lr", "fast"], 2, "requires a number that is not negative but got fast"),
        (["--max-kl", "0"], 2, "argument --max-kl: requires a positive number but got 0"),
        (["--outer-lr", "0"], 2, "argument --outer-lr: requires a positive number but got 0"),
    ],
)
def test_bad_options_are_one_sentence_before_training(options, code, words, tmp_path):
    found, output, errors = run("navigation2d.py", *options, "--out", tmp_path)
    assert (found, output) == (code, "")
    assert words in errors
    assert "Traceback" not in errors
