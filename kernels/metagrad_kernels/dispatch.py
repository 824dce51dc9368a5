"""Which implementation of an operation serves which array: decided when it is called, by the type of the array."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .errors import KernelUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


class Implementation(NamedTuple):
    """One module of an operation's folder.

    Attributes:
        name: what it can be asked for by.
        device: where it runs, "cpu" or "cuda".
        arrays: the types it takes, by their full names, so that nothing is imported to compare.
        install: the command that installs what it needs, "" where it needs nothing more.
        module: its name in the folder, where that is not `name`.
        needs: packages that it cannot do without, as they are imported.
        on_request: whether it serves those only who ask for it by name.
    """

    name: str
    device: str
    arrays: tuple[str, ...]
    install: str = ""
    module: str = ""
    needs: tuple[str, ...] = ()
    on_request: bool = False


CPU = Implementation("cpu", device="cpu", arrays=("numpy.ndarray",), install="pip install numba")
_ON_DEVICE = ("cupy.ndarray", "metagrad_kernels.emulation.arrays.ndarray")
_INSTALL_CUDA = 'pip install "metagrad[cuda]"'
CUDA = Implementation("cuda", device="cuda", arrays=_ON_DEVICE, install=_INSTALL_CUDA, needs=("cupy",))
NUMBA_CUDA = Implementation(
    "numba",
    device="cuda",
    arrays=_ON_DEVICE,
    install=_INSTALL_CUDA,
    module="cuda_numba",
    needs=("cupy", "numba_cuda"),
    on_request=True,
)
REFERENCE = Implementation("reference", device="cpu", arrays=("numpy.ndarray",))
_NAMES = tuple(implementation.name for implementation in (CPU, CUDA, NUMBA_CUDA, REFERENCE))

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
"""The types that kernels are compiled for."""


_preferred: ContextVar[str | None] = ContextVar("preferred", default=None)


@contextmanager
def prefer(name: str) -> Iterator[None]:
    """Inside, operations are served by the implementation of this name where they have one for such an array.

    It holds for what is called in this thread and context, derivatives too: all of a meta-step. Others choose as ever.

    >>> import numpy as np
    >>> from metagrad_kernels.relu import relu
    >>> with prefer("reference"):
    ...     relu(np.array([-1.0, 2.0]))
    array([0., 2.])

    Raises:
        ValueError: a name that no operation knows.
        KernelUnavailable: by an operation that has it, where it cannot run.
    """
    if name not in _NAMES:
        raise ValueError(f"[prefer] requires an implementation of {list(_NAMES)} but got {name!r}")
    token = _preferred.set(name)
    try:
        yield
    finally:
        _preferred.reset(token)


class KernelStatus(NamedTuple):
    """One line of `kernels()`; `reason` says why it is not available, and how to make it so."""

    operation: str
    implementation: str
    device: str
    available: bool
    reason: str


class Operation:
    """The implementations of one operation, the preferred first. Their modules are imported when first needed."""

    def __init__(self, package: str, *implementations: Implementation) -> None:
        self.package = package
        self.name = package.rpartition(".")[2]
        self.implementations = implementations
        self._chosen: dict[tuple[type, str | None, str | None], ModuleType] = {}

    def load(self, implementation: Implementation) -> ModuleType:
        """Its module; raises KernelUnavailable where that cannot be imported."""
        try:
            return importlib.import_module(f"{self.package}.{implementation.module or implementation.name}")
        except ImportError as error:
            reason = f"{implementation.name} cannot be imported ({error})"
            raise KernelUnavailable(self.name, reason, implementation.install) from error

    def choose(self, array: object, name: str | None = None) -> Any:
        """The module that serves such an array.

        Without a name, the one of `prefer`, or else the first that can run and need not be asked for: when that is not
        the very first, a RuntimeWarning says why, once.

        Raises:
            ValueError: no implementation has this name.
            KernelUnavailable: the one asked for cannot run here, or does not take such an array, or none does.
        """
        preferred = _preferred.get() if name is None else None
        key = (type(array), name, preferred)
        try:
            return self._chosen[key]
        except KeyError:
            module = self._chosen[key] = self._first(*key)
            return module

    def _first(self, array_type: type, name: str | None, preferred: str | None) -> ModuleType:
        names = [implementation.name for implementation in self.implementations]
        if name is not None and name not in names:
            raise ValueError(f"[{self.name}] requires an implementation of {names} but got {name!r}")
        types = [f"{base.__module__}.{base.__qualname__}" for base in array_type.__mro__]
        taking = [i for i in self.implementations if set(types).intersection(i.arrays)]
        if preferred in [implementation.name for implementation in taking]:
            name = preferred
        refusals: list[KernelUnavailable] = []
        for implementation in taking:
            if implementation.on_request if name is None else implementation.name != name:
                continue
            try:
                module = self.load(implementation)
            except KernelUnavailable as error:
                refusals.append(error)
                continue
            for refusal in refusals:
                warnings.warn(f"{refusal}; {implementation.name} runs instead", RuntimeWarning, stacklevel=4)
            return module
        if refusals:
            raise refusals[0]
        if not hasattr(array_type, "dtype"):
            raise TypeError(f"[{self.name}] requires arrays but got {array_type.__name__}")
        raise KernelUnavailable(self.name, f"{name} takes no {types[0]}" if name else f"nothing takes {types[0]}")


def kernels() -> list[KernelStatus]:
    """Every implementation of every operation, and whether it can run here. Imports all that can be."""
    rows = []
    packages = importlib.import_module(__package__).__path__
    for module in pkgutil.iter_modules(packages):
        if not module.ispkg:
            continue
        folder = importlib.import_module(f"{__package__}.{module.name}")
        operation: Operation | None = getattr(folder, "OPERATION", None)
        if operation is None:
            continue
        for implementation in operation.implementations:
            reason = _missing(implementation)
            if not reason:
                try:
                    operation.load(implementation)
                except KernelUnavailable as error:
                    reason = f"{error.reason}; {error.install}" if error.install else error.reason
            rows.append(KernelStatus(operation.name, implementation.name, implementation.device, not reason, reason))
    return rows


def _missing(implementation: Implementation) -> str:
    """What this machine lacks for an implementation, and the command that installs it; "" where it lacks nothing.

    Its module may be imported all the same, because the emulation needs no GPU.
    """
    for package in implementation.needs:
        if find_spec(package) is None:
            return f"the package {package.replace('_', '-')} is not installed; {implementation.install}"
    if implementation.device == "cpu":
        return ""
    reason: str = importlib.import_module(f"{__package__}.cuda").missing()
    return reason
