"""Decoded pictures, kept: decoding tens of thousands of small files takes seconds, reading them as one takes none.

What is kept is only ever a copy. A file that is broken, or was made from something else, is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .records import ImageClasses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FORMAT = 1


def cache_folder() -> Path:
    """Where data sets and decoded pictures are kept: METAGRAD_CACHE, else metagrad in the platform's cache folder.

    >>> import os
    >>> from metagrad import data
    >>> os.environ["METAGRAD_CACHE"] = "/scratch/metagrad"
    >>> str(data.cache_folder())
    '/scratch/metagrad'
    >>> del os.environ["METAGRAD_CACHE"]
    """
    if chosen := os.environ.get("METAGRAD_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "metagrad"


def cached(name: str, facts: Any, build: Callable[[], ImageClasses]) -> ImageClasses:
    """What `build` gives, from the cache if it was built of the same `facts` before.

    `facts` is what the result depends on, as JSON can hold it: the setting, and size and time of each source. Where the
    cache cannot be written, a warning says so and the result is built each time.
    """
    import PIL

    made_of = json.dumps([_FORMAT, PIL.__version__, name, facts])
    path = cache_folder() / "decoded" / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.npz"
    found = _read(path, made_of)
    if found is None:
        found = build()
        _write(path, made_of, found)
    return found


def _read(path: Path, made_of: str) -> ImageClasses | None:
    if not os.path.isfile(path):
        return None
    try:
        # A zip: reading it compares its checksums.
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            if str(file["made_of"]) != made_of:
                raise ValueError("it was made of something else")
            names, groups = file["names"].tolist(), file["groups"].tolist()
            return ImageClasses.in_order(file["pictures"], file["counts"], names, groups)
    except Exception as error:  # a broken zip, header or array shows in many ways, and all mean the same
        warnings.warn(f"{path} cannot be used and is made again: {error}", stacklevel=2)
        return None


def _write(path: Path, made_of: str, classes: ImageClasses) -> None:
    names, groups = np.array(classes.names), np.array(classes.groups)
    pictures, counts = classes.pictures, classes.counts
    try:
        with replacing(path) as file:
            np.savez(file, made_of=np.array(made_of), names=names, groups=groups, pictures=pictures, counts=counts)
    except OSError as error:
        message = f"{path.parent} cannot be written, so pictures are decoded anew each time: {error}"
        warnings.warn(message, stacklevel=2)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its place at `path` when it is whole, and leaves nothing if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
