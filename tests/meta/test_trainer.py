"""A run that is stopped, killed or broken loses nothing: it continues bit for bit, or says in one sentence why not."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import runs

import metagrad as mg
from metagrad import meta
from metagrad.core.pytree import flatten
from metagrad.errors import CheckpointError, NonFiniteError, OptionError
from metagrad.meta.checkpoints import Checkpoint, read_checkpoint, write_checkpoint

ROOT = Path(__file__).parents[2]


def files(folder):
    """What a run leaves, byte for byte."""
    return {name: (Path(folder) / name).read_bytes() for name in ("metrics.jsonl", "checkpoint.safetensors")}


def start(folder, iterations, *more):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'kernels'}"}
    command = [sys.executable, str(Path(runs.__file__)), str(folder), str(iterations), *more]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_metrics_are_json_lines_at_their_iterations(tmp_path):
    runs.train(tmp_path, 7)
    rows = meta.read_metrics(tmp_path)
    assert [row["iteration"] for row in rows] == [2, 4, 6]
    assert all(np.isfinite(row["loss"]) for row in rows)


@pytest.mark.parametrize("stop", [1, 10, 13, 25])
def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(tmp_path, stop):
    whole = runs.train(tmp_path / "whole", 25)
    runs.train(tmp_path / "parts", stop)
    parts = runs.train(tmp_path / "parts", 25, resume=True)
    assert files(tmp_path / "whole") == files(tmp_path / "parts")
    for a, b in zip(flatten(whole)[0], flatten(parts)[0], strict=True):
        assert np.array_equal(np.asarray(a), np.asarray(b))


def test_training_without_resume_starts_afresh_and_keeps_every_run_that_was_there(tmp_path, capsys):
    folder, before = tmp_path / "run", []
    for iterations in (20, 10, 20):
        runs.train(folder, iterations)
        before.append(files(folder))
    assert before[0] == before[2]
    for k in (1, 2):
        assert files(folder / f"earlier-{k}") == before[k - 1]
    said = capsys.readouterr().out
    assert f"starting afresh; the run that was there is now in {folder / 'earlier-2'}" in said


def test_resuming_nothing_starts_afresh_and_says_so(tmp_path, capsys):
    runs.train(tmp_path / "run", 3, resume=True)
    assert f"nothing to resume in {tmp_path / 'run'}, starting afresh" in capsys.readouterr().out


def lines_in(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def has_gone_on(process, metrics, before):
    return process.poll() is not None or lines_in(metrics) > before


def test_sigkill_at_any_moment_loses_at_most_the_last_interval(tmp_path):
    iterations = 600
    runs.train(tmp_path / "whole", iterations)
    killed = tmp_path / "killed"
    chance = random.Random(0)
    kills = 0
    for _ in range(4):
        process = start(killed, iterations, "resume")
        until(partial(has_gone_on, process, killed / "metrics.jsonl", lines_in(killed / "metrics.jsonl")))
        time.sleep(chance.uniform(0.0, 0.15))
        process.kill()
        code = finish(process)[0]
        kills += code == -signal.SIGKILL
    assert kills >= 2
    runs.train(killed, iterations, resume=True)
    assert files(killed) == files(tmp_path / "whole")


def test_metrics_after_the_checkpoint_are_cut_off_even_half_a_line(tmp_path):
    runs.train(tmp_path / "whole", 30)
    run = tmp_path / "run"
    runs.train(run, 20)
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b'{"iteration": 22, "loss": 1.0}\n{"iterat')
    runs.train(run, 30, resume=True)
    assert files(run) == files(tmp_path / "whole")


def test_ctrl_c_saves_and_leaves_with_one_sentence(tmp_path):
    process = start(tmp_path / "run", 1_000_000)
    until((tmp_path / "run" / "checkpoint.safetensors").exists)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    code, output, errors = finish(process)
    assert code == 130
    assert "Traceback" not in errors
    sentence = output.strip()
    done = int(sentence.split("stopped after ")[1].split()[0])
    assert sentence == f"training: stopped after {done} iterations, saved in {tmp_path / 'run'}"
    runs.train(tmp_path / "whole", done + 5)
    runs.train(tmp_path / "run", done + 5, resume=True)
    assert files(tmp_path / "run") == files(tmp_path / "whole")


def test_signal_handlers_are_put_back_and_other_threads_may_train(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    runs.train(tmp_path / "a", 2)
    assert signal.getsignal(signal.SIGINT) is before
    worker = threading.Thread(target=runs.train, args=(tmp_path / "b", 2))
    worker.start()
    worker.join()
    assert files(tmp_path / "a") == files(tmp_path / "b")


def poisoned(iteration, where):
    """The run's sample function, with a NaN in one batch."""
    count = 0

    def sample(generator):
        nonlocal count
        count += 1
        (x, y), query = runs.sample(generator)
        if count == iteration:
            y = y.copy()
            y[0, 0] = where
        return (x, y), query

    return sample


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path, bad):
    runs.train(tmp_path / "good", 10)
    with pytest.raises(NonFiniteError) as caught:
        runs.train(tmp_path / "bad", 30, sample=poisoned(17, bad))
    assert str(caught.value) == (
        "[training] requires finite numbers but got NaN or infinity in ['batch'][0][1] at iteration 17; "
        "the last good checkpoint is kept"
    )
    good, kept = (files(tmp_path / name)["checkpoint.safetensors"] for name in ("good", "bad"))
    assert good == kept
    whole = runs.train(tmp_path / "whole", 30)
    resumed = runs.train(tmp_path / "bad", 30, resume=True)
    assert np.array_equal(np.asarray(flatten(whole)[0][0]), np.asarray(flatten(resumed)[0][0]))


def test_a_state_that_is_not_finite_is_never_saved(tmp_path):
    def step(state, batch):
        return {"w": state["w"] * np.float32(1e30)}, 1.0

    with pytest.raises(NonFiniteError, match=r"\['state'\]\['w'\] at iteration 2"):
        runs.trainer(tmp_path, step=step, checkpoint_every=1).run(
            {"w": mg.asarray(np.float32(1.0))}, 10, np.random.default_rng(0)
        )
    assert float(mg.load(tmp_path / "checkpoint.safetensors")["['w']"]) == pytest.approx(1e30)


@pytest.mark.parametrize("bits", [np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_any_kind_of_generator_goes_on_bit_for_bit_and_no_other_can(tmp_path, bits):
    def train(folder, iterations, resume=False):
        return runs.trainer(folder).run(runs.first_state(), iterations, np.random.Generator(bits(0)), resume=resume)

    train(tmp_path / "whole", 15)
    train(tmp_path / "parts", 7)
    train(tmp_path / "parts", 15, resume=True)
    assert files(tmp_path / "whole") == files(tmp_path / "parts")
    with pytest.raises(OptionError, match=rf"generator of the run's own kind, {bits.__name__} but got PCG64"):
        runs.train(tmp_path / "parts", 20, resume=True)


def test_settings_that_json_cannot_hold_are_refused_before_training(tmp_path):
    with pytest.raises(
        OptionError, match=r"^\[Trainer\] requires settings that JSON can hold but got 'loss' = .*'maml'"
    ):
        runs.trainer(tmp_path, settings={"seed": 0, "loss": mg.sin}, label="maml")


def test_other_settings_are_an_error_that_names_the_one(tmp_path):
    runs.train(tmp_path, 4, settings={"seed": 0, "alpha": 0.01})
    with pytest.raises(OptionError, match=r"the run's own settings, with alpha = 0.01 but got alpha = 0.1"):
        runs.train(tmp_path, 8, resume=True, settings={"seed": 0, "alpha": 0.1})
    with pytest.raises(OptionError, match=r"with shots = nothing but got shots = 5"):
        runs.train(tmp_path, 8, resume=True, settings={"seed": 0, "alpha": 0.01, "shots": 5})


def test_fewer_iterations_than_done_is_an_error(tmp_path):
    runs.train(tmp_path, 8)
    with pytest.raises(OptionError, match=r"\[resume\] requires at least the 8 iterations that are done but got 4"):
        runs.train(tmp_path, 4, resume=True)


@pytest.mark.parametrize("keep", [0, 7, 200, -1])
def test_a_truncated_checkpoint_is_one_sentence(tmp_path, keep):
    runs.train(tmp_path, 4)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"^\[load\] requires a whole file written by mg.save but got ") as caught:
        runs.train(tmp_path, 8, resume=True)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_foreign_checkpoint_is_one_sentence(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    mg.save(path, {"w": mg.zeros(3)}, {"made": "elsewhere"})
    with pytest.raises(CheckpointError, match=r"\[resume\] requires a checkpoint of a training run but got .*another"):
        runs.train(tmp_path, 8, resume=True)


def test_a_checkpoint_of_another_net_names_the_array(tmp_path):
    runs.train(tmp_path, 4)
    state = {"w": mg.zeros(3)}
    with pytest.raises(CheckpointError, match=r"a checkpoint with \['w'\], float64 of shape \(3,\) but got nothing"):
        runs.trainer(tmp_path).run(state, 8, np.random.default_rng(0), resume=True)


def test_metrics_that_are_gone_are_one_sentence(tmp_path):
    runs.train(tmp_path, 4)
    (tmp_path / "metrics.jsonl").unlink()
    with pytest.raises(CheckpointError, match=r"the run's metrics, \d+ bytes in .* but got 0 bytes"):
        runs.train(tmp_path, 8, resume=True)


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match=r"\[out\] requires a folder that can be written but got .*Not a directory"):
        runs.trainer(tmp_path / "file" / "run")


def test_progress_prints_plain_lines_where_there_is_no_terminal(tmp_path, capsys):
    runs.train(tmp_path, 6)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("training: 6/6  ")
    assert f"loss {meta.read_metrics(tmp_path)[-1]['loss']:.3g}" in line


def test_the_loop_costs_little_beside_the_step(tmp_path):
    def step(state, batch):
        return state, 1.0

    trainer = runs.trainer(tmp_path, step=step, sample=lambda generator: None, log_every=20, checkpoint_every=10**9)
    count = 5000
    began = time.perf_counter()
    trainer.run({"w": mg.zeros(3)}, count, np.random.default_rng(0))
    assert (time.perf_counter() - began) / count < 50e-6


@pytest.mark.parametrize("name", ["validate_every", "log_every", "checkpoint_every"])
def test_a_trainer_that_never_would_is_refused(tmp_path, name):
    with pytest.raises(OptionError, match=rf"^\[Trainer\] requires a positive integer for the {name} but got 0$"):
        meta.Trainer(lambda state, batch: (state, 0.0), lambda generator: None, tmp_path, **{name: 0})


def test_rows_are_plain_json(tmp_path):
    runs.train(tmp_path, 4)
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        assert set(json.loads(line)) == {"iteration", "loss"}


def test_a_checkpoint_of_another_dtype_is_refused(tmp_path):
    state = {"w": mg.zeros(3)}
    write_checkpoint(tmp_path, Checkpoint(state, 1, {}, 0), {})
    with pytest.raises(CheckpointError, match=r"float32 of shape \(3,\) but got float64 of shape \(3,\)"):
        read_checkpoint(tmp_path, {"w": mg.zeros(3, dtype=mg.float32)}, {})


def counted(folder, iterations, resume=False, peak=7.0, **options):
    """A run whose state counts iterations, and is best when it has counted to `peak`; the trainer, after it."""
    trainer = runs.trainer(
        folder,
        step=lambda state, batch: ({"w": state["w"] + 1}, 1.0),
        sample=lambda generator: generator.random(),
        validate=options.pop("validate", lambda state: -abs(float(state["w"]) - peak)),
        validate_every=3,
        **options,
    )
    trainer.run({"w": mg.asarray(0.0)}, iterations, np.random.default_rng(0), resume=resume)
    return trainer


def test_the_state_of_the_best_validation_is_kept(tmp_path):
    best = counted(tmp_path, 20).best
    assert (float(best.state["w"]), best.iteration, best.score) == (6.0, 6, -1.0)


def test_of_equal_validations_the_first_is_the_best(tmp_path):
    assert counted(tmp_path, 20, peak=7.5).best.iteration == 6


def test_before_the_first_validation_there_is_no_best(tmp_path):
    assert counted(tmp_path, 2).best is None


def test_validation_has_its_place_in_the_metrics_beside_what_is_measured(tmp_path):
    counted(tmp_path, 6)
    found = {row.pop("iteration"): row for row in meta.read_metrics(tmp_path)}
    assert found == {
        2: {"loss": 1.0},
        3: {"validation": -4.0},
        4: {"loss": 1.0},
        6: {"loss": 1.0, "validation": -1.0},
    }


@pytest.mark.parametrize("stop", [1, 3, 7, 13, 20])
def test_a_resumed_run_keeps_the_best_of_the_unbroken_one(tmp_path, stop):
    whole = counted(tmp_path / "whole", 20).best
    counted(tmp_path / "parts", stop)
    parts = counted(tmp_path / "parts", 20, resume=True).best
    assert files(tmp_path / "whole") == files(tmp_path / "parts")
    assert (float(parts.state["w"]), *parts[1:]) == (float(whole.state["w"]), *whole[1:])


def test_a_run_afresh_forgets_the_best_of_the_one_before(tmp_path):
    counted(tmp_path, 20)
    assert counted(tmp_path, 4).best.iteration == 3


def test_a_validation_that_is_not_finite_is_one_sentence(tmp_path):
    with pytest.raises(NonFiniteError, match=r"NaN or infinity in \['validation'\] at iteration 3; the last good"):
        counted(tmp_path, 20, validate=lambda state: float("nan"))


def test_a_step_may_report_several_scalars_by_name(tmp_path):
    def step(state, batch):
        return state, {"gain": 0.5, "kl": mg.asarray(0.25)}

    runs.train(tmp_path, 4, step=step)
    assert meta.read_metrics(tmp_path) == [{"iteration": k, "gain": 0.5, "kl": 0.25} for k in (2, 4)]


def test_one_of_several_scalars_that_is_nan_is_named(tmp_path):
    def step(state, batch):
        return state, {"gain": 0.5, "kl": math.nan}

    with pytest.raises(NonFiniteError, match=r"NaN or infinity in \['loss'\]\['kl'\] at iteration 1"):
        runs.train(tmp_path, 4, step=step)
