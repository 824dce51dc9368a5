"""One launch for a whole step: what it does on the device is captured in a CUDA graph, and replayed.

A step of meta-learning is hundreds of kernels of a few microseconds each, and Python takes longer to launch one than
the GPU to run it. A graph is launched as a whole.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from metagrad_kernels import launch

from .arrays import cupy
from .core.provenance import user_line
from .core.pytree import flatten, leaf_names, tree_map, unflatten
from .core.tensor import Tensor, reads, to_value
from .errors import CaptureError, requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def capture(step: Callable[..., Any], *, carry: bool = False) -> Captured:
    """`step` as one launch: the first call runs it, the second captures it in a CUDA graph, and from then on it is one.

    The arguments and the result are trees with arrays of one device in them. Those of each call are copied to where the
    graph reads them; results are copied from where it writes them, so that they stay as they are. With `carry`, the
    step's first result has the form of its first argument and takes its place in the graph's memory, without a copy:
    give it back in the next call. The Tensors of the state that was given are then gone, as after JAX's donation.

    A step is captured as it runs once. It must not read values of the device (`float(x)`, `if x > 0`), and whatever it
    takes from elsewhere than its arguments (a Python number that it counts up, a closure) stays as it was.

    Raises CaptureError for a step that reads a value of the device, with the line, and for arguments of other shapes,
    dtypes or trees than the first call's, with the name of the leaf; DeviceError where there are no arrays of a device.

    >>> import metagrad as mg
    >>> from metagrad_kernels import emulation
    >>> def loss(w, x): return mg.sum((w * x) ** 2)
    >>> step = mg.cuda.capture(lambda w, x: (w - 0.5 * mg.grad(loss)(w, x), loss(w, x)), carry=True)
    >>> if emulation.missing() is None:
    ...     w = mg.asarray(1.0, device="emulated")
    ...     for x in (0.5, 0.25, 0.125):
    ...         w, before = step(w, mg.asarray(x, device="emulated"))
    ...     assert step.captured
    """
    return Captured(step, carry)


def synchronize() -> None:
    """Wait until the GPU has done all that it was given; at once where nothing runs on one."""
    cupy = sys.modules.get("cupy")
    if cupy is not None and cupy.cuda.is_available():
        cupy.cuda.get_current_stream().synchronize()


def name() -> str:
    """What the driver calls the GPU; raises DeviceError where there is none."""
    properties = cupy().cuda.runtime.getDeviceProperties(0)
    return str(properties["name"].decode())


def copied(tree: Any) -> Any:
    """A tree whose arrays of a device are copies, which a captured step does not take."""
    return tree_map(lambda leaf: Tensor(to_value(leaf).copy()) if _on_device(to_value(leaf)) else leaf, tree)


def on_device(tree: Any) -> bool:
    """Whether a tree has an array of a device in it."""
    return any(_on_device(to_value(leaf)) for leaf in flatten(tree)[0])


class _Gone:
    """What a Tensor holds whose memory the next step has taken."""

    def __getattr__(self, name: str) -> Any:
        need = "a state that was not yet given to the captured step, which took its memory,"
        raise CaptureError(requires("capture", need, "one that was"))


class Captured:
    """A step and its graph. `captured` says whether it has one yet."""

    _gone = _Gone()

    def __init__(self, step: Callable[..., Any], carry: bool) -> None:
        self.step = step
        self.carry = carry
        self.captured = False
        self._signature: tuple[Any, ...] | None = None
        self._carried: list[Tensor] = []
        self._given: list[Any] = []

    def __call__(self, *arguments: Any) -> Any:
        """The step's result."""
        leaves, structure = flatten(arguments)
        values = [to_value(leaf) for leaf in leaves]
        signature = (structure, [_form(value) for value in values])
        if self._signature is None:
            result = self.step(*arguments)
            self._signature = signature
            return result
        if signature != self._signature:
            raise self._refused(arguments, structure, values)
        if not self.captured:
            self._capture(values, structure)
        for k, (buffer, value) in enumerate(zip(self._buffers, values, strict=True)):
            if buffer is not value and leaves[k] is not self._given[k]:
                _write(buffer, value)
        carried = structure.children()[0].num_leaves if self.carry else 0  # the graph writes to their buffers itself
        self._given = [leaf if k >= carried and _stays(leaf) else None for k, leaf in enumerate(leaves)]
        for tensor in self._carried:
            tensor._value = self._gone
        self._recording.replay()
        return self._results()

    def _capture(self, values: list[Any], structure: Any) -> None:
        device = next((value for value in values if _on_device(value)), None)
        if device is None:
            raise CaptureError(requires("capture", "arguments with arrays of a device", "none"))
        self._recording = launch.recording(device)
        with self._recording.allocating():
            self._buffers = [_copy(value) if _on_device(value) else value for value in values]
        self._given = [None] * len(values)
        inputs = [Tensor(b) if hasattr(b, "dtype") else b for b in self._buffers]
        with self._recording, _no_reads():
            result = self.step(*unflatten(structure, inputs))
            outputs, self._structure = flatten(result)
            self._outputs = [to_value(output) for output in outputs]
            if self.carry:
                self._close(structure, result)
            self._pack()
        self.captured = True

    def _close(self, structure: Any, result: Any) -> None:
        """The last nodes of the graph: the carried results go to where the first argument is read."""
        if not isinstance(result, tuple) or not result:
            raise CaptureError(requires("capture", "a step that returns (state, ...) to carry", type(result).__name__))
        after, form = flatten(result[0])
        given = structure.children()[0]
        carried = range(given.num_leaves)
        if form != given or any(_form(self._outputs[k]) != _form(self._buffers[k]) for k in carried):
            raise CaptureError(requires("capture", "a first result of the form of the first argument", f"{form}"))
        moved = [_copy(x) if any(_overlap(x, b) for b in self._buffers) else x for x in self._outputs[: len(after)]]
        for k in carried:
            if self._outputs[k] is not self._buffers[k]:
                _write(self._buffers[k], moved[k])
            self._outputs[k] = self._buffers[k]

    def _pack(self) -> None:
        """The graph's last nodes: what is not carried goes behind one another, so that it leaves in one copy."""
        self._packed: dict[Any, Any] = {}
        self._places: list[tuple[int, slice]] = []
        count = self._structure.children()[0].num_leaves if self.carry else 0
        rest = [k for k in range(count, len(self._outputs)) if _on_device(self._outputs[k])]
        for dtype in dict.fromkeys(self._outputs[k].dtype for k in rest):
            own = [k for k in rest if self._outputs[k].dtype == dtype]
            ends = np.cumsum([0, *(self._outputs[k].size for k in own)])
            flat = launch.namespace(self._outputs[own[0]]).empty((int(ends[-1]),), dtype)
            for k, begin, end in zip(own, ends, ends[1:], strict=False):
                place = slice(int(begin), int(end))
                flat[place] = self._outputs[k].reshape(-1)
                self._places.append((k, place))
            self._packed[dtype] = flat

    def _results(self) -> Any:
        results = [Tensor(x) if _on_device(x) else x for x in self._outputs]
        fresh = {dtype: _copy(flat) for dtype, flat in self._packed.items()}
        for k, place in self._places:
            output = self._outputs[k]
            results[k] = Tensor(fresh[output.dtype][place].reshape(output.shape))
        if self.carry:
            self._carried = results[: self._structure.children()[0].num_leaves]
        return unflatten(self._structure, list(results))

    def _refused(self, arguments: tuple[Any, ...], structure: Any, values: list[Any]) -> CaptureError:
        assert self._signature is not None
        known, forms = self._signature
        if structure != known:
            return CaptureError(requires("capture", f"arguments of the captured form {known}", f"{structure}"))
        name, form, value = next(
            (name, form, value)
            for name, form, value in zip(leaf_names(arguments), forms, values, strict=True)
            if form != _form(value)
        )
        need = f"{_described(form)} at argument {name}, as it was captured,"
        return CaptureError(requires("capture", need, _described(_form(value))))


@contextmanager
def _no_reads() -> Iterator[None]:
    def refuse(operation: str) -> CaptureError:
        line = user_line()
        where = f" at {line}: {line.code}" if line is not None else ""
        need = "a step that leaves its values on the device, since a graph has no one to read them,"
        return CaptureError(requires("capture", need, f"a read by {operation}{where}"))

    before, reads.refuse = reads.refuse, refuse
    try:
        yield
    finally:
        reads.refuse = before


def _on_device(value: Any) -> bool:
    return hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic)


def _form(value: Any) -> Any:
    """What has to stay the same: of an array shape and dtype, of a number of the host the number."""
    if _on_device(value):
        return (tuple(value.shape), value.dtype)
    return (value.tobytes(), value.dtype, value.shape) if hasattr(value, "tobytes") else value


def _described(form: Any) -> str:
    if isinstance(form, tuple) and len(form) == 2:
        return f"{form[1]}{list(form[0])}"
    return f"the host's {form[1]}{list(form[2])} of the same values" if isinstance(form, tuple) else repr(form)


def _stays(leaf: Any) -> bool:
    """Whether nobody can change what is in it: a Tensor that has its memory from the pool, not from another library."""
    if type(leaf) is not Tensor or not _on_device(leaf._value):
        return False
    return type(getattr(leaf._value.data, "mem", None)).__name__ in ("PooledMemory", "NoneType")


def _overlap(x: Any, y: Any) -> bool:
    return _on_device(x) and _on_device(y) and bool(launch.namespace(x).shares_memory(x, y))


def _copy(value: Any) -> Any:
    return value.copy()


def _write(buffer: Any, value: Any) -> None:
    if _on_device(buffer):
        buffer[...] = value


__all__ = ["capture", "copied", "name", "on_device", "synchronize"]
