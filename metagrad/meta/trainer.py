"""The outer loop around any learner: progress, metrics, checkpoints, and going on where a run was stopped."""

from __future__ import annotations

import math
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import cuda
from ..core.pytree import flatten, leaf_names
from ..errors import NonFiniteError, OptionError, requires
from ..ops.windows import positive
from .checkpoints import (
    Best,
    Checkpoint,
    check_settings,
    read_checkpoint,
    restore_generator,
    set_aside,
    write_checkpoint,
)
from .metrics import Metrics
from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C, after it saved where it was."""


def output_folder(path: Path | str) -> Path:
    """The folder, made where it is missing; raises OptionError where files cannot be written to it."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OptionError(requires("out", "a folder that can be written", f"{path} ({error.strerror})")) from error
    return folder


class Trainer:
    """Runs `state, loss = step(state, sample(generator))` again and again, so that stopping it costs nothing.

    In `folder` it keeps `metrics.jsonl` (a row every `log_every` iterations, the values of `measure(state, batch,
    loss)` with the state *before* the step) and `checkpoint.safetensors` (every `checkpoint_every` iterations, replaced
    atomically: state, iteration, the generator's state, `settings`). A run that is resumed continues bit for bit as if
    it had never stopped, whatever stopped it; at worst the iterations since the last checkpoint are run again.
    `settings` are what determines the run, as JSON values; others raise OptionError here, and so does resuming with
    other settings, or with a generator of another kind.

    With `validate(state)`, a score of which more is better, taken every `validate_every` iterations and written to the
    metrics as "validation", the state that scored highest (the first of equals) is kept in the checkpoint, too, and is
    `best` after the run: a Best(state, iteration, score), or None where no iteration was validated.

    A step may return several scalars for the loss, by name: a dict, of which each must be finite, and is written to the
    metrics.

    A state on a GPU is stepped by one launch an iteration (`mg.cuda.capture`), unless `capture` is False, which gives
    the same numbers. There the loss is looked at every `log_every` iterations only, because the host would have to wait
    for each.
    """

    def __init__(
        self,
        step: Callable[[Any, Any], tuple[Any, Any]],
        sample: Callable[[np.random.Generator], Any],
        folder: Path | str,
        *,
        settings: dict[str, Any] | None = None,
        measure: Callable[[Any, Any, Any], dict[str, float]] | None = None,
        validate: Callable[[Any], float] | None = None,
        validate_every: int = 1000,
        label: str = "training",
        log_every: int = 20,
        checkpoint_every: int = 1000,
        capture: bool = True,
    ) -> None:
        self.step = step
        self.sample = sample
        self.folder = output_folder(folder)
        self.settings = settings or {}
        check_settings(label, self.settings)
        self.measure = measure or (lambda state, batch, loss: {k: float(v) for k, v in _by_name(loss).items()})
        self.validate = validate
        self.validate_every = positive("Trainer", "validate_every", validate_every)
        self.best: Best | None = None
        self.label = label
        self.log_every = positive("Trainer", "log_every", log_every)
        self.checkpoint_every = positive("Trainer", "checkpoint_every", checkpoint_every)
        self.capture = capture

    def run(self, state: Any, iterations: int, generator: np.random.Generator, resume: bool = False) -> Any:
        """Train from `state` up to `iterations` and return the state then. `generator` samples the tasks.

        With `resume`, go on from the folder's checkpoint; where there is none yet, say so and start afresh. More
        `iterations` than before extend the run. Without, a run that is there is moved aside, and this is said.

        Raises Interrupted on Ctrl-C, after saving; NonFiniteError for a loss that is NaN or infinite, with the last
        good checkpoint kept; CheckpointError and OptionError for a checkpoint that cannot be resumed.
        """
        iterations = positive("Trainer", "iterations", iterations)
        begin = 0
        size = 0
        self.best = None
        found = read_checkpoint(self.folder, state, self.settings) if resume else None
        if found is not None:
            state, begin, size = found.state, found.iteration, found.metrics_size
            restore_generator(generator, found.generator)
            self.best = found.best
        elif resume:
            print(f"{self.label}: nothing to resume in {self.folder}, starting afresh", flush=True)
        elif (kept := set_aside(self.folder)) is not None:
            print(f"{self.label}: starting afresh; the run that was there is now in {kept}", flush=True)
        if begin > iterations:
            raise OptionError(requires("resume", f"at least the {begin} iterations that are done", f"{iterations}"))
        metrics = Metrics(self.folder, size)
        try:
            return self._loop(state, begin, iterations, generator, metrics)
        finally:
            metrics.close()

    def _loop(self, state: Any, begin: int, iterations: int, generator: np.random.Generator, metrics: Metrics) -> Any:
        on_device = cuda.on_device(state)
        captured = on_device and self.capture
        step = cuda.capture(self.step, carry=True) if captured else self.step
        if begin == 0:
            self._save(state, 0, generator, metrics)
        with _ctrl_c() as pressed, Progress(self.label, iterations, begin) as progress:
            for iteration in range(begin + 1, iterations + 1):
                batch = self.sample(generator)
                logged = iteration % self.log_every == 0
                before = cuda.copied(state) if captured and logged else state
                state, loss = step(state, batch)
                if (logged or not on_device) and not all(map(math.isfinite, _by_name(loss).values())):
                    self._fail(iteration, {"state": before, "batch": batch, "loss": loss})
                values = self.measure(before, batch, loss) if logged else {}
                values |= self._validated(state, iteration)
                if values:
                    metrics.write({"iteration": iteration, **values})
                    progress.metrics(values)
                if pressed or iteration % self.checkpoint_every == 0 or iteration == iterations:
                    self._save(state, iteration, generator, metrics)
                progress(iteration)
                if pressed:
                    raise Interrupted(f"{self.label}: stopped after {iteration} iterations, saved in {self.folder}")
        return state

    def _validated(self, state: Any, iteration: int) -> dict[str, float]:
        if self.validate is None or iteration % self.validate_every:
            return {}
        score = float(self.validate(state))
        if not math.isfinite(score):
            self._fail(iteration, {"state": state, "validation": score})
        if self.best is None or score > self.best.score:
            self.best = Best(cuda.copied(state), iteration, score)
        return {"validation": score}

    def _save(self, state: Any, iteration: int, generator: np.random.Generator, metrics: Metrics) -> None:
        if not all(np.isfinite(np.asarray(leaf)).all() for leaf in flatten(state)[0]):
            self._fail(iteration, {"state": state})
        found = Checkpoint(state, iteration, dict(generator.bit_generator.state), metrics.flush(), self.best)
        write_checkpoint(self.folder, found, self.settings)

    def _fail(self, iteration: int, values: dict[str, Any]) -> None:
        """Name the first tensor that is not finite, in the order in which they were computed."""
        named = zip(leaf_names(values), flatten(values)[0], strict=True)
        order = {name: i for i, name in enumerate(values)}
        broken = [name for name, leaf in named if not np.isfinite(np.asarray(leaf)).all()]
        first = min(broken, key=lambda name: order[name.split("'")[1]])
        got = f"NaN or infinity in {first} at iteration {iteration}"
        raise NonFiniteError(requires(self.label, "finite numbers", f"{got}; the last good checkpoint is kept"))


def _by_name(loss: Any) -> dict[str, Any]:
    return loss if isinstance(loss, dict) else {"loss": loss}


@contextmanager
def _ctrl_c() -> Iterator[list[bool]]:
    """A list that is empty until Ctrl-C: an iteration is never cut in two. A second Ctrl-C does not wait."""
    pressed: list[bool] = []

    def handler(signum: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield pressed
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
