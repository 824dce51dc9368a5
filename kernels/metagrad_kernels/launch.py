"""How a CUDA kernel is launched: by the array's own namespace, CuPy or the emulation, from the same source."""

from __future__ import annotations

import functools
import importlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_INCLUDE = re.compile(r'^#include "(.+)"$', re.MULTILINE)
_HERE = Path(__file__).parent

COMPILE_OPTIONS = ("-std=c++17",)
_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "half",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "int32": "int",
    "int64": "long",
}


def type_name(dtype: Any) -> str:
    """What C++ calls a dtype."""
    return _TYPES[dtype.name]


def namespace(array: Any) -> Any:
    """The module of functions that goes with an array: `numpy`, `cupy` or `metagrad_kernels.emulation.arrays`."""
    return sys.modules[type(array).__module__]


def aligned(*arrays: Any, to: int = 16) -> bool:
    """Whether all arrays begin at a multiple of so many bytes, so that a thread may read as many at once."""
    return all(array.data.ptr % to == 0 for array in arrays)


class Source:
    """CUDA C++: a file beside the module that names it, or, with `text`, a text under such a name.

    Attributes:
        path: where it is.
        entries: what may be launched, as C++ names it (`relu<float>`), and the most registers that it may take of a
            thread. All of them are compiled, measured and emulated where there is no GPU.
    """

    def __init__(self, beside: str, name: str, entries: Mapping[str, int], text: str | None = None) -> None:
        self.path = Path(beside).parent / name
        self.entries = dict(entries)
        self._given = text

    @functools.cached_property
    def text(self) -> str:
        """The source with its headers in place, so that it needs no path and a cache sees every change."""
        return _expanded(self.path, set(), self._given)

    def launch(self, entry: str, grid: Iterable[int], block: Iterable[int], *arguments: Any) -> None:
        """Run it on the stream that is current, or in the emulation.

        `arguments`: device arrays, of which the kernel gets the address, and NumPy scalars of its own types.

        Raises:
            KeyError: an entry that is not declared.
            TypeError: no array among the arguments, or one that is on no device.
            KernelUnavailable: it does not compile; the message has the file and the compiler's first error.
        """
        if entry not in self.entries:
            raise KeyError(f"[{self.path.name}] requires an entry among {list(self.entries)} but got {entry!r}")
        arrays = [a for a in arguments if a is not None and not isinstance(a, np.generic)]
        launcher: Any = namespace(arrays[0]) if arrays else None
        if getattr(launcher, "__name__", "") == "cupy":
            launcher = importlib.import_module(f"{__package__}.cuda")
        if not hasattr(launcher, "launch"):
            got = f"a {type(arrays[0]).__module__} {type(arrays[0]).__name__}" if arrays else "no array"
            raise TypeError(f"[{self.path.name}] requires arrays of CuPy or of the emulation but got {got}")
        launcher.launch(self, entry, tuple(grid), tuple(block), arguments)


def recording(array: Any) -> Any:
    """A new, empty `Recording` for the device of an array: the GPU's, or the emulation's."""
    name = namespace(array).__name__
    module = "cuda" if name == "cupy" else "emulation.recording"
    return importlib.import_module(f"{__package__}.{module}").Recording()


def _expanded(path: Path, seen: set[Path], text: str | None = None) -> str:
    """A text, or else that of a file, and of what it includes; `#line` keeps the compiler's messages true."""
    seen.add(path)
    text = path.read_text("utf-8") if text is None else text

    def included(match: re.Match[str]) -> str:
        header = next(p for p in (path.parent / match[1], _HERE / match[1]) if p.exists())
        line = text.count("\n", 0, match.start()) + 2
        inside = "" if header in seen else _expanded(header, seen)
        return f'{inside}\n#line {line} "{path.name}"'

    return f'#line 1 "{path.name}"\n{_INCLUDE.sub(included, text)}'
