"""The examples run as a person runs them, and what they print and write is right."""

from __future__ import annotations

import importlib
import json
import re
import signal
import time

import numpy as np
import pytest
from example_runs import EXAMPLES, printed, rows_in, run, start
from places import CUPY, each_device

KEYS = {"method", "shots", "steps", "mse", "ci95", "tasks", "iterations", "seed"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small run of all methods."""
    out = tmp_path_factory.mktemp("sinusoid")
    options = ("--iterations", 40, "--shots", 10, 5, "--test-tasks", 30, "--seed", 3, "--out", out)
    code, output, errors = run("sinusoid.py", *options)
    assert code == 0, errors
    return out, output


def test_sinusoid_writes_a_row_for_each_method_shots_and_step(whole):
    out, _ = whole
    rows = rows_in(out)
    assert all(set(row) == KEYS for row in rows)
    assert [(r["shots"], r["method"], r["steps"]) for r in rows] == [
        (shots, method, steps)
        for shots in (10, 5)
        for method in ("maml", "fomaml", "pretrained", "oracle")
        for steps in (0, 1, 5, 10)
    ]
    assert {(r["tasks"], r["iterations"], r["seed"]) for r in rows} == {(30, 40, 3)}
    assert all(0.5 < r["mse"] < 10 and 0 < r["ci95"] < 5 for r in rows)


def test_sinusoid_prints_the_rows_as_a_table(whole):
    out, output = whole
    assert printed(output) == [(f"{r['mse']:.3f}", f"{r['ci95']:.3f}") for r in rows_in(out)]


def test_sinusoid_draws_its_pictures_in_the_output_folder(whole):
    out, output = whole
    names = {f"fits-{k}-shot{where}.png" for k in (10, 5) for where in ("", "-half-unseen")}
    assert {p.name for p in out.glob("*.png")} == names | {"mse-by-step.png", "training.png"}
    for picture in out.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.name in output


def test_sinusoid_says_where_its_numbers_come_from(whole):
    out, _ = whole
    origin = json.loads((out / "run.json").read_text())
    assert set(origin) == {"command", "settings", "commit", "machine", "software", "seconds", "earlier"}
    assert "--iterations 40 --shots 10 5" in origin["command"]


def test_sinusoid_resumed_gives_the_same_results(whole, tmp_path):
    out, _ = whole
    options = ("--shots", 5, "--test-tasks", 30, "--seed", 3, "--out", tmp_path, "--methods", "maml", "pretrained")
    assert run("sinusoid.py", "--iterations", 25, *options)[0] == 0
    assert run("sinusoid.py", "--iterations", 40, "--resume", *options)[0] == 0
    rows = rows_in(out)
    expected = [r for r in rows if r["method"] in ("maml", "pretrained") and r["shots"] == 5]
    assert rows_in(tmp_path) == expected
    (before,) = json.loads((tmp_path / "run.json").read_text())["earlier"]
    assert before["settings"]["iterations"] == 25


def test_sinusoid_averaged_trains_the_same_tests_another_and_resumes_only_as_it_was(whole, tmp_path):
    out, _ = whole
    options = ("--shots", 5, "--test-tasks", 30, "--seed", 3, "--out", tmp_path, "--methods", "maml")
    assert run("sinusoid.py", "--iterations", 25, "--average", 0.9, *options)[0] == 0
    for other in ((), ("--average", 0.8)):
        code, _, errors = run("sinusoid.py", "--iterations", 40, "--resume", *other, *options)
        assert code != 0
        assert "average" in errors
    code, output, _ = run("sinusoid.py", "--iterations", 40, "--resume", "--average", 0.9, *options)
    assert code == 0
    assert "running mean of the iterates (0.9)" in " ".join(output.split())
    metrics = [folder / "5-shot" / "maml" / "metrics.jsonl" for folder in (out, tmp_path)]
    post_updates = [[json.loads(line)["post_update"] for line in m.read_text().splitlines()] for m in metrics]
    assert post_updates[0] == post_updates[1]
    last = {r["steps"]: r["mse"] for r in rows_in(out) if r["method"] == "maml" and r["shots"] == 5}
    mean = {r["steps"]: r["mse"] for r in rows_in(tmp_path)}
    assert all(last[k] != mean[k] for k in last)
    code, _, errors = run("sinusoid.py", "--average", 1, "--out", tmp_path)
    assert code == 2
    assert "requires a number that is not negative, below 1, but got 1" in errors


def test_sinusoid_first_order_leaves_out_maml(tmp_path):
    code, output, _ = run(
        "sinusoid.py", "--first-order", "--iterations", 20, "--shots", 5, "--inner-steps", 2, "--out", tmp_path
    )
    assert code == 0
    rows = rows_in(tmp_path)
    assert {r["method"] for r in rows} == {"fomaml", "pretrained", "oracle"}
    assert "first-order MAML" in output


def test_sinusoid_learns_from_few_points(tmp_path):
    """Enough training for the order of things to show: a step helps MAML, the oracle knows."""
    options = ("--iterations", 1500, "--shots", 10, "--test-tasks", 300, "--methods", "maml", "--out", tmp_path)
    code, _, errors = run("sinusoid.py", *options)
    assert code == 0, errors
    mse = {r["steps"]: r["mse"] for r in rows_in(tmp_path)}
    assert mse[1] < 0.75 * mse[0]
    assert mse[10] < mse[1]


def test_sinusoid_stopped_by_ctrl_c_says_one_sentence_and_goes_on(tmp_path):
    options = ("--iterations", 100000, "--shots", 5, "--methods", "maml", "--out", tmp_path)
    process = start("sinusoid.py", *options)
    checkpoint = tmp_path / "5-shot" / "maml" / "checkpoint.safetensors"
    end = time.monotonic() + 60
    while not checkpoint.exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert re.fullmatch(
        r"MAML, 5-shot: stopped after \d+ iterations, saved in \S+; --resume goes on from there\n", errors
    )
    code, _, errors = run("sinusoid.py", "--resume", "--alpha", 0.5, *options)
    assert code == 1
    assert errors == "error: [resume] requires the run's own settings, with alpha = 0.01 but got alpha = 0.5\n"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--shot", "5"], 2, "unrecognized arguments: --shot 5"),
        (["--shots", "0"], 2, "requires a whole number, at least 1, but got 0"),
        (["--alpha", "fast"], 2, "requires a number that is not negative but got fast"),
        (["--methods", "magic"], 2, "invalid choice: 'magic'"),
        (["--methods", "maml", "--first-order"], 2, "requires a method besides maml"),
        (["--out", f"{__file__}/out"], 1, "[out] requires a folder that can be written but got "),
    ],
)
def test_sinusoid_refuses_bad_options_in_one_sentence_before_training(options, code, words):
    found, output, errors = run("sinusoid.py", *options)
    assert (found, output) == (code, "")
    assert words in errors
    assert "Traceback" not in errors


def test_a_truncated_checkpoint_is_one_sentence(whole, tmp_path):
    folder = tmp_path / "5-shot" / "maml"
    folder.mkdir(parents=True)
    (folder / "checkpoint.safetensors").write_bytes(b"\x00" * 30)
    code, _, errors = run("sinusoid.py", "--resume", "--shots", 5, "--methods", "maml", "--out", tmp_path)
    assert code == 1
    assert errors.startswith("error: [load] requires a whole file written by mg.save but got ")
    assert errors.count("\n") == 1


def test_a_mean_that_diverges_is_null_in_json_and_a_word_in_the_table(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    sinusoid = importlib.import_module("sinusoid")
    args = sinusoid.parse(["--shots", "5", "--methods", "maml"])
    errors = np.ones((4, 11))
    errors[2, 5:] = np.inf
    rows = sinusoid.rows_of(sinusoid.Experiment(args, "maml", 5), errors)
    assert [r["mse"] for r in rows] == [1.0, 1.0, None, None]
    assert [sinusoid.cell(r) for r in rows] == ["1.000 ±0.000"] * 2 + ["diverges"] * 2
    assert "NaN" not in json.dumps(rows, allow_nan=False)


@each_device
def test_sinusoid_on_a_device_has_the_cpu_s_numbers_captured_or_not(device, tmp_path):
    found = []
    settings = ("--iterations", 12, "--shots", 5, "--test-tasks", 5, "--methods", "maml", "pretrained")
    for name, options in (
        ("cpu", ()),
        ("one launch", ("--device", device)),
        ("eager", ("--device", device, "--no-capture")),
    ):
        code, _, errors = run("sinusoid.py", *settings, *options, "--out", tmp_path / name)
        assert code == 0, errors
        found.append(json.loads((tmp_path / name / "results.json").read_text()))
    on_cpu, captured, eager = found
    assert captured == eager
    assert [row["mse"] for row in captured] == pytest.approx([row["mse"] for row in on_cpu], rel=1e-4)
    assert json.loads((tmp_path / "one launch" / "run.json").read_text())["device"]


def test_a_device_that_is_not_here_is_one_sentence(tmp_path):
    if CUPY is not None:
        pytest.skip("there is a GPU")
    code, _, errors = run("sinusoid.py", "--device", "cuda", "--out", tmp_path / "out")
    assert code == 1
    assert re.fullmatch(r"error: \[device\] requires .* for 'cuda'.* but got .*\n", errors)
