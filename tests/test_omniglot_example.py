"""Few-shot classification from the command line: its numbers, pictures and record, and how it goes on when stopped."""

from __future__ import annotations

import json
import signal
import time

import numpy as np
import optree
import pytest
from example_runs import EXAMPLES, printed, rows_in, run, start
from places import each_device

import metagrad as mg
from metagrad import data

KEYS = {
    "method",
    "ways",
    "shots",
    "queries",
    "net",
    "norm",
    "mode",
    "steps",
    "accuracy",
    "ci95",
    "tasks",
    "iterations",
    "seed",
    "dataset",
}
ALL = (
    "maml",
    "fomaml",
    "nearest_neighbour_pixels",
    "nearest_neighbour_features",
    "finetune",
    "matching",
    "siamese",
    "prototypical",
)
ADAPT = {"maml", "fomaml", "finetune"}
SMALL = (
    "--dataset",
    "strokes",
    "--filters",
    4,
    "--meta-batch",
    2,
    "--validate-every",
    4,
    "--test-tasks",
    20,
    "--validation-tasks",
    8,
)


@pytest.fixture
def main(monkeypatch):
    """The example's main in this process, with options of any type; returns the exit code."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import omniglot

    return lambda *options: omniglot.main([str(o) for o in options])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small run of all methods."""
    out = tmp_path_factory.mktemp("omniglot")
    code, output, errors = run("omniglot.py", *SMALL, "--iterations", 10, "--out", out, "--methods", *ALL)
    assert code == 0, errors
    return out, output


def test_a_row_for_each_method_mode_and_step(whole):
    found = rows_in(whole[0])
    assert all(set(row) == KEYS for row in found)
    assert [(r["method"], r["mode"], r["steps"]) for r in found] == [
        (method, mode, steps)
        for method in ALL
        for mode in (("inductive",) if method == "nearest_neighbour_pixels" else ("transductive", "inductive"))
        for steps in range(11 if method in ADAPT else 1)
    ]
    assert {(r["ways"], r["shots"], r["queries"], r["tasks"], r["dataset"]) for r in found} == {
        (5, 1, 1, 20, "strokes")
    }
    assert {r["iterations"] for r in found if r["method"] != "nearest_neighbour_pixels"} == {10}
    assert all(0 <= r["accuracy"] <= 1 and 0 <= r["ci95"] < 0.25 for r in found)


def test_the_table_says_the_same_as_the_rows(whole):
    out, output = whole
    shown = [r for r in rows_in(out) if r["steps"] in (0, 1, 3, 5, 10)]
    assert printed(output) == [(f"{100 * r['accuracy']:.2f}", f"{100 * r['ci95']:.2f}") for r in shown]
    assert "the 5 queries of a task are normalised together" in output


def test_a_new_last_layer_of_zeros_is_at_chance_and_pixels_are_above(whole):
    accuracy = {(r["method"], r["steps"]): r["accuracy"] for r in rows_in(whole[0])}
    assert accuracy["finetune", 0] == pytest.approx(0.2, rel=1e-12)
    assert accuracy["nearest_neighbour_pixels", 0] > 0.3


def test_pictures_and_record_are_in_the_output_folder(whole):
    out, output = whole
    names = {"episodes.png", "accuracy-by-step.png", "training.png"}
    assert {p.name for p in out.glob("*.png")} == names
    assert all(name in output and (out / name).read_bytes().startswith(b"\x89PNG") for name in names)
    record = json.loads((out / "run.json").read_text())
    assert {"command", "settings", "commit", "machine", "software", "seconds", "earlier", "methods"} == set(record)
    assert record["methods"]["maml"]["best_iteration"] in (4, 8)
    assert record["methods"]["finetune"]["step_size"] > 0


def test_pretraining_serves_both_methods_that_use_it(whole):
    folders = {p.name for p in whole[0].iterdir() if p.is_dir()}
    assert folders == set(ALL) - {"nearest_neighbour_pixels", "finetune"}


def test_resumed_after_a_kill_is_the_unbroken_run_best_checkpoint_included(whole, tmp_path):
    options = (*SMALL, "--out", tmp_path, "--methods", "maml")
    process = start("omniglot.py", *options, "--iterations", 100000)
    metrics = tmp_path / "maml" / "metrics.jsonl"
    end = time.monotonic() + 100
    while not metrics.exists():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert run("omniglot.py", *options, "--iterations", 10, "--resume")[0] == 0
    for name in ("checkpoint.safetensors", "metrics.jsonl"):
        assert (tmp_path / "maml" / name).read_bytes() == (whole[0] / "maml" / name).read_bytes()
    assert rows_in(tmp_path) == [r for r in rows_in(whole[0]) if r["method"] == "maml"]


@pytest.mark.parametrize(
    ("options", "modes"),
    [
        (["--norm", "support", "--first-order"], ["inductive", "transductive"]),
        (["--norm", "running", "--dtype", "float64"], ["inductive", "transductive"]),
        (["--norm", "none", "--net", "mlp", "--shots", 2], ["inductive"]),
    ],
)
def test_every_norm_trains_and_is_tested_in_the_modes_that_it_allows(options, modes, tmp_path, main):
    methods = ("--methods", "maml", "nearest_neighbour_features", "matching")
    assert main(*SMALL, "--iterations", 2, *options, *methods, "--out", tmp_path) == 0
    found = rows_in(tmp_path)
    assert list(dict.fromkeys(r["mode"] for r in found)) == modes
    assert {r["norm"] for r in found} == {options[1]}
    names = {r["method"] for r in found}
    assert names == {"fomaml" if "--first-order" in options else "maml", "nearest_neighbour_features", "matching"}


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--way", 5], 2, "unrecognized arguments: --way"),
        (["--ways", 1], 2, "requires a whole number, at least 2, but got 1"),
        (["--alpha", "inf"], 2, "requires a number that is not negative but got inf"),
        (["--norm", "magic"], 2, "invalid choice: 'magic'"),
        (["--data", "x"], 2, "--data and --download require --dataset omniglot"),
        (["--ways", 2000], 1, "ways of at most 25, the number of classes, but got 2000, in the part for validation"),
        (["--shots", "²"], 2, "requires a whole number, at least 1, but got ²"),
        (["--shots", 15, "--queries", 15], 1, "[Episodes] requires classes of at least 30 drawings, "),
        (["--out", f"{__file__}/out"], 1, "[out] requires a folder that can be written but got "),
    ],
)
def test_bad_options_get_one_sentence_before_training(options, code, words, tmp_path, main, capsys):
    if code == 2:
        with pytest.raises(SystemExit, match="2"):
            main(*SMALL, "--out", tmp_path, *options)
    else:
        assert main(*SMALL, "--out", tmp_path, *options) == code
    output, errors = capsys.readouterr()
    assert output == ""
    assert words in errors
    assert code == 2 or errors.count("\n") == 1


@pytest.mark.parametrize("content", [b"[1]", b'"x"', b"{", b"\xff\xfe"])
def test_a_record_that_is_none_is_written_anew_by_a_resumed_run(content, tmp_path, main, capsys):
    from _experiment import earlier

    (tmp_path / "run.json").write_bytes(content)
    assert earlier(tmp_path) == []
    assert "run.json is not readable and is written anew" in capsys.readouterr().err


def test_a_record_that_cannot_be_written_and_memory_that_is_not_there_are_one_sentence(tmp_path, main, capsys):
    from _experiment import guarded

    (tmp_path / "run.json").mkdir()
    assert main(*SMALL, "--out", tmp_path) == 1
    assert guarded(lambda: np.empty(10**15)) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: [out] requires a folder that can be written but got ")
    assert second.startswith("error: requires more memory than there is: Unable to allocate")


def test_missing_data_say_where_they_were_looked_for_and_what_to_do(tmp_path, main, capsys, monkeypatch):
    monkeypatch.setenv("METAGRAD_DATA", str(tmp_path / "absent"))
    monkeypatch.setenv("METAGRAD_CACHE", str(tmp_path / "cache"))
    assert main("--out", tmp_path / "out") == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    for words in ("[omniglot] requires", str(tmp_path / "absent"), "--download fetches Omniglot", "--dataset strokes"):
        assert words in errors


def test_one_test_task_has_no_confidence_interval(main, tmp_path, capsys):
    assert (
        main(*SMALL, "--iterations", 1, "--test-tasks", 1, "--methods", "nearest_neighbour_pixels", "--out", tmp_path)
        == 0
    )
    assert [row["ci95"] for row in rows_in(tmp_path)] == [None]
    assert "±" not in capsys.readouterr().out


def test_a_run_that_is_refused_leaves_no_record(main, tmp_path):
    assert main("--data", tmp_path / "nothing", "--out", tmp_path / "out") == 1
    assert not (tmp_path / "out" / "run.json").exists()


def test_a_training_too_short_to_log_has_no_picture(main, tmp_path, capsys):
    options = ("--iterations", 2, "--validate-every", 5, "--methods", "maml", "--out", tmp_path)
    assert main(*SMALL, *options) == 0
    assert "training.png" not in capsys.readouterr().out


@pytest.fixture
def methods(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import omniglot

    def make(name, *options):
        args = omniglot.parse(["--dataset", "strokes", "--filters", "4", *options])
        return omniglot.METHODS[name](args, data.split(data.strokes(classes=40)))

    return make


def test_the_loss_is_the_sum_over_all_examples_divided_by_the_shots(methods):
    from omniglot_methods import sum_over_shots

    ways, shots = 5, 3
    logits = np.random.default_rng(0).standard_normal((ways * shots, ways))
    labels = np.repeat(np.arange(ways), shots)
    each = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(ways * shots), labels]
    assert float(sum_over_shots(logits, labels)) == pytest.approx(each.sum() / shots, rel=1e-12)


def test_a_net_that_blew_up_is_never_right(methods):
    method = methods("maml")
    params = optree.tree_map(lambda x: np.full_like(x, np.nan), method.init())
    result = method.evaluate(params, method.training(np.random.default_rng(0), 2), "transductive", 1)
    assert (result.predictions == -1).all()
    assert not result.accuracies.any()


@pytest.mark.parametrize("norm", ["transductive", "support", "running", "none"])
def test_an_inductive_answer_does_not_depend_on_the_other_queries(methods, norm):
    method = methods("maml", "--norm", norm, "--dtype", "float64")
    params = method.init()
    support, (images, _) = optree.tree_map(lambda x: x[0], method.cast(method.training(np.random.default_rng(0), 1)))

    def answers(images, mode):
        return np.asarray(method.logits(params, support, images, mode, 2))

    together, alone = answers(images, "inductive"), answers(images[:1], "inductive")
    np.testing.assert_allclose(alone, together[:, :1], rtol=1e-10, atol=1e-12)
    if norm != "none":
        others = np.abs(answers(images, "transductive")[:, 0] - answers(images[:2], "transductive")[:, 0])
        assert others.max() > 1e-3


def test_running_statistics_follow_the_training_batches_and_nothing_else_changes_them(methods):
    method = methods("prototypical", "--norm", "running", "--dtype", "float64", "--train-ways", "5")
    params = method.init()
    learner = method.learner(params)
    batch = method.sample(np.random.default_rng(0))
    state, _ = method.stepper(learner)(learner.init(params), batch)
    first = state.params["statistics"][1]
    seen = mg.nn.conv2d(batch[1][0][0], params["net"][0]["kernel"], stride=2, padding="SAME") + params["net"][0]["bias"]
    expected = 0.1 * np.asarray(seen).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(np.asarray(first["mean"]), expected, rtol=1e-10, atol=1e-12)


def test_test_tasks_are_the_same_for_every_method(methods, tmp_path):
    import omniglot

    def tests(name):
        args = omniglot.parse(["--dataset", "strokes", "--test-tasks", "3", "--methods", name])
        return optree.tree_leaves(omniglot.Experiment(args, tmp_path).tests)

    for a, b in zip(tests("nearest_neighbour_pixels"), tests("prototypical"), strict=True):
        np.testing.assert_array_equal(a, b)


@each_device
def test_on_a_device_the_numbers_are_the_cpu_s(device, tmp_path, main):
    found = []
    for name in ("cpu", device):
        tiny = ("--filters", 4, "--meta-batch", 2, "--validate-every", 2, "--test-tasks", 4, "--validation-tasks", 2)
        options = ("--dataset", "strokes", *tiny, "--iterations", 2, "--methods", "maml", "matching")
        assert main(*options, "--device", name, "--out", tmp_path / name) == 0
        found.append([(row["method"], row["mode"], row["steps"], row["accuracy"]) for row in rows_in(tmp_path / name)])
    assert found[0] == found[1]
