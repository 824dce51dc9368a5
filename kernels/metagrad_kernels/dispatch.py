"""Which implementation of an operation serves which array: decided when it is called, by the type of the array."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .errors import KernelUnavailable

if TYPE_CHECKING:
    from types import ModuleType


class Implementation(NamedTuple):
    """One module of an operation's folder.

    Attributes:
        name: the module's name, by which it can be asked for.
        device: where it runs, "cpu" or "cuda".
        arrays: the types it takes, by their full names, so that nothing is imported to compare.
        install: the command that installs what it needs, "" where it needs nothing more.
    """

    name: str
    device: str
    arrays: tuple[str, ...]
    install: str = ""


CPU = Implementation("cpu", device="cpu", arrays=("numpy.ndarray",), install="pip install numba")
CUDA = Implementation(
    "cuda",
    device="cuda",
    arrays=("cupy.ndarray", "metagrad_kernels.emulation.arrays.ndarray"),
    install='pip install "metagrad[cuda]"',
)
REFERENCE = Implementation("reference", device="cpu", arrays=("numpy.ndarray",))

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
"""The types that kernels are compiled for."""


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
        self._chosen: dict[tuple[type, str | None], ModuleType] = {}

    def load(self, implementation: Implementation) -> ModuleType:
        """Its module; raises KernelUnavailable where that cannot be imported."""
        try:
            return importlib.import_module(f"{self.package}.{implementation.name}")
        except ImportError as error:
            reason = f"{implementation.name} cannot be imported ({error})"
            raise KernelUnavailable(self.name, reason, implementation.install) from error

    def choose(self, array: object, name: str | None = None) -> Any:
        """The module that serves such an array.

        Without a name, the first that can run: when that is not the preferred one, a RuntimeWarning says why, once.

        Raises:
            ValueError: no implementation has this name.
            KernelUnavailable: the one asked for cannot run here, or does not take such an array, or none does.
        """
        key = (type(array), name)
        if key not in self._chosen:
            self._chosen[key] = self._first(type(array), name)
        return self._chosen[key]

    def _first(self, array_type: type, name: str | None) -> ModuleType:
        names = [implementation.name for implementation in self.implementations]
        if name is not None and name not in names:
            raise ValueError(f"[{self.name}] requires an implementation of {names} but got {name!r}")
        types = [f"{base.__module__}.{base.__qualname__}" for base in array_type.__mro__]
        refusals: list[KernelUnavailable] = []
        for implementation in self.implementations:
            if not set(types).intersection(implementation.arrays) or name not in (None, implementation.name):
                continue
            try:
                module = self.load(implementation)
            except KernelUnavailable as error:
                refusals.append(error)
                continue
            for refusal in refusals:
                warnings.warn(f"{refusal}; {implementation.name} runs instead", RuntimeWarning, stacklevel=4)
            return module
        raise refusals[0] if refusals else KernelUnavailable(self.name, f"{name or 'none'} takes no {types[0]}")


def kernels() -> list[KernelStatus]:
    """Every implementation of every operation, and whether it can run here. Imports all that can be."""
    rows = []
    packages = importlib.import_module(__package__).__path__
    for module in pkgutil.iter_modules(packages):
        if not module.ispkg:
            continue
        operation: Operation | None = getattr(
            importlib.import_module(f"{__package__}.{module.name}"), "OPERATION", None
        )
        if operation is None:
            continue
        for implementation in operation.implementations:
            reason = ""
            try:
                operation.load(implementation)
            except KernelUnavailable as error:
                reason = f"{error.reason}; {error.install}" if error.install else error.reason
            rows.append(KernelStatus(operation.name, implementation.name, implementation.device, not reason, reason))
    return rows
