"""A training run on disk: one file, replaced as a whole, that says all there is to know to go on."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arrays import to_device
from ..core.devices import device_of
from ..core.pytree import flatten, leaf_names, tree_map, unflatten
from ..errors import CheckpointError, OptionError, requires
from ..serialization import load, save
from .metrics import FILE as METRICS

if TYPE_CHECKING:
    from pathlib import Path

FILE = "checkpoint.safetensors"
_BEST = "best "


class Best(NamedTuple):
    """The state that scored highest when it was validated."""

    state: Any
    iteration: int
    score: float


class Checkpoint(NamedTuple):
    """A run after `iteration` iterations."""

    state: Any
    iteration: int
    generator: dict[str, Any]
    """The state of the numpy.random.Generator that samples the tasks."""
    metrics_size: int
    """The bytes of the metrics file that belong to these iterations."""
    best: Best | None = None


def write_checkpoint(folder: Path, checkpoint: Checkpoint, settings: dict[str, Any]) -> None:
    """Write it so that at any moment the folder holds either the one before or this one, whole."""
    best = checkpoint.best
    facts = {
        "iteration": checkpoint.iteration,
        "generator": tree_map(lambda x: x.tolist() if isinstance(x, np.ndarray) else x, checkpoint.generator),
        "metrics_size": checkpoint.metrics_size,
        "best": None if best is None else {"iteration": best.iteration, "score": best.score},
        "settings": settings,
    }
    arrays = _named(checkpoint.state)
    if best is not None:
        arrays |= _named(best.state, _BEST)
    save(folder / FILE, arrays, {"run": facts})


def read_checkpoint(folder: Path, like: Any, settings: dict[str, Any]) -> Checkpoint | None:
    """The folder's checkpoint, with a state like `like`; None where there is none yet.

    Raises CheckpointError for a file that is truncated or foreign, OptionError, naming the first that differs, for one
    of a run with other settings.
    """
    path = folder / FILE
    if not path.exists():
        return None
    arrays, metadata = load(path, with_metadata=True)
    try:
        facts = metadata["run"]
        iteration, size = int(facts["iteration"]), int(facts["metrics_size"])
        generator, stored = dict(facts["generator"]), dict(facts["settings"])
        record = facts.get("best")
        score = None if record is None else (int(record["iteration"]), float(record["score"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            requires("resume", "a checkpoint of a training run", f"{path}, which is another file")
        ) from error
    _compare(stored, json.loads(json.dumps(settings)))
    best = None if score is None else Best(_stored(arrays, like, path, _BEST), *score)
    return Checkpoint(_stored(arrays, like, path), iteration, generator, size, best)


def restore_generator(generator: np.random.Generator, state: dict[str, Any]) -> None:
    """Let it go on from the state of another; raises OptionError unless both are of one kind."""
    bits = generator.bit_generator
    before, now = state.get("bit_generator"), bits.state["bit_generator"]
    if before != now:
        raise OptionError(requires("resume", f"a generator of the run's own kind, {before}", now))
    try:
        bits.state = state
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(requires("resume", f"the state of a {now}", state)) from error


def check_settings(label: str, settings: dict[str, Any]) -> None:
    """Raise OptionError, naming the setting, unless JSON can hold them."""
    for name, value in settings.items():
        try:
            json.dumps({name: value})
        except (TypeError, ValueError):
            got = f"{name!r} = {value!r} in those of {label!r}"
            raise OptionError(requires("Trainer", "settings that JSON can hold", got)) from None


def set_aside(folder: Path) -> Path | None:
    """Where a run starts afresh beside a checkpoint, move that and its metrics to a folder of their own, which it
    returns: `earlier-1`, `earlier-2` and so on.
    """
    if not (folder / FILE).exists():
        return None
    kept = next(path for k in itertools.count(1) if not (path := folder / f"earlier-{k}").exists())
    kept.mkdir()
    for name in (METRICS, FILE):  # the checkpoint last: as long as it is here, nothing overwrites the metrics
        if (folder / name).exists():
            (folder / name).replace(kept / name)
    return kept


def _named(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of a state by their paths."""
    return {prefix + (name or "state"): leaf for name, leaf in zip(leaf_names(tree), flatten(tree)[0], strict=True)}


def _stored(arrays: dict[str, Any], like: Any, path: Path, prefix: str = "") -> Any:
    """A state like `like`, each leaf on the device of that one.

    Raises CheckpointError, naming the first leaf that is missing or of another kind.
    """
    found = []
    for name, leaf in _named(like, prefix).items():
        wanted, got = _kind(leaf), arrays.get(name)
        if got is None or _kind(got) != wanted:
            what = "nothing" if got is None else _kind(got)
            raise CheckpointError(requires("resume", f"a checkpoint with {name}, {wanted}", f"{what} in {path}"))
        found.append(to_device(got, device_of(leaf)))
    return unflatten(flatten(like)[1], found)


def _kind(leaf: Any) -> str:
    array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return f"{array.dtype} of shape {tuple(array.shape)}"


def _compare(stored: dict[str, Any], settings: dict[str, Any]) -> None:
    for name in sorted(stored.keys() | settings.keys()):
        before, now = stored.get(name, "nothing"), settings.get(name, "nothing")
        if before != now:
            raise OptionError(requires("resume", f"the run's own settings, with {name} = {before}", f"{name} = {now}"))
