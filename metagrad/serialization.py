"""Trees of arrays in a file: safetensors, with the structure beside them as JSON. Nothing is pickled.

A file is written under another name first, and then takes its place: whoever reads sees the old one or the new one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import to_device
from .core.tensor import Tensor, to_value
from .core.trace import Tracer
from .errors import CheckpointError, DeviceError, DTypeError, MissingFileError, TraceError, requires

_FORMAT = 1


def save(path: str | os.PathLike[str], tree: Any, metadata: Any = None) -> None:
    """Write a tree of arrays: dicts (with keys that are strings or integers), lists, tuples, None, numbers and strings.

    `metadata` is anything that JSON can hold. The arrays keep dtype and shape, bit for bit.

    Raises DTypeError for a leaf that cannot be saved, TraceError inside a transform, CheckpointError where the folder
    cannot be written; a file that was there before then stays as it is.

    >>> import metagrad as mg, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "params.safetensors")
    >>> mg.save(path, {"w": mg.asarray([1.0, 2.0])})
    >>> mg.load(path)
    {'w': Tensor([1., 2.], dtype=float64)}
    """
    import json

    from safetensors.numpy import save as to_bytes

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    try:
        header = json.dumps({"format": _FORMAT, "tree": _describe(tree, "", arrays), "metadata": metadata})
    except (TypeError, ValueError) as error:
        if isinstance(error, DTypeError):
            raise
        raise DTypeError(requires("save", "metadata that JSON can hold", error)) from None
    _replace(Path(path), to_bytes(arrays, metadata={"metagrad": header}))


def load(path: str | os.PathLike[str], with_metadata: bool = False, *, device: str = "cpu") -> Any:
    """The tree that `save` wrote, its arrays as Tensors on a device, whichever they were on; with `with_metadata`,
    `(tree, metadata)`.

    Raises CheckpointError for a file that is truncated, damaged, or not one of `save`'s, MissingFileError for none,
    DeviceError for a device that is not here.
    """
    import json

    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise MissingFileError(requires("load", "a file written by mg.save", f"{str(path)!r}, which is none"))
    try:
        with safe_open(path, framework="numpy") as file:
            held = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(requires("load", "a whole file written by mg.save", f"{str(path)!r}: {error}")) from error
    try:
        header = json.loads(held["metagrad"])
        if header["format"] != _FORMAT:
            got = f"{str(path)!r} of format {header['format']}"
            raise CheckpointError(requires("load", f"a file of format {_FORMAT}", got))
        tree = to_device(_build(header["tree"], arrays), device)
        return (tree, header["metadata"]) if with_metadata else tree
    except (CheckpointError, DeviceError):
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        got = f"{str(path)!r}, a safetensors file from elsewhere"
        raise CheckpointError(requires("load", "a file written by mg.save", got)) from error


def _describe(tree: Any, name: str, arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    """The structure as JSON; arrays go into `arrays`, under the path that leads to them."""

    def child(key: object, node: Any) -> dict[str, Any]:
        return _describe(node, f"{name}/{key}" if name else str(key), arrays)

    if type(tree) is dict:
        for key in tree:
            if type(key) not in (str, int):
                raise DTypeError(requires("save", "dict keys that are strings or integers", repr(key)))
        return {"dict": [[key, child(key, node)] for key, node in tree.items()]}
    if type(tree) in (list, tuple):
        return {type(tree).__name__: [child(k, node) for k, node in enumerate(tree)]}
    if tree is None or type(tree) in (bool, int, float, str):
        return {"value": tree}
    if isinstance(tree, Tracer):
        raise TraceError(requires("save", "concrete arrays", f"{tree!r}"))
    value = to_value(tree)
    value = value.get() if hasattr(value, "get") else value
    if not isinstance(value, np.ndarray | np.generic):
        got = f"{type(tree).__name__} at {name or 'the root'}"
        raise DTypeError(requires("save", "arrays, numbers, strings, None, dicts, lists and tuples", got))
    unique = name or "array"
    while unique in arrays:
        unique += "'"
    array = np.asarray(value)
    arrays[unique] = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    return {"array": unique}


def _build(node: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    ((kind, content),) = node.items()
    if kind == "dict":
        return {key: _build(child, arrays) for key, child in content}
    if kind == "list":
        return [_build(child, arrays) for child in content]
    if kind == "tuple":
        return tuple([_build(child, arrays) for child in content])
    if kind == "array":
        array = arrays[content]
        array.flags.writeable = False
        return Tensor(array)
    if kind == "value":
        return content
    raise KeyError(kind)


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, also where the machine stops in between."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise CheckpointError(requires("save", "a folder that can be written", f"{str(path)!r}: {error}")) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
