"""`python -m metagrad`: what is here. Versions, devices, and which kernel serves each operation, or why it cannot."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import __version__
from .arrays import cupy
from .errors import DeviceError

_PACKAGES = (
    "numpy",
    "numba",
    "optree",
    "opt_einsum",
    "safetensors",
    "rich",
    "matplotlib",
    "cupy-cuda13x",
    "numba-cuda",
)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cuda() -> str:
    try:
        return f"{cupy().cuda.runtime.getDeviceCount()} device(s)"
    except DeviceError as error:
        return f"none: {error}"


def main() -> None:
    """Print it."""
    from metagrad_kernels import emulation, kernels

    console = Console()
    console.print(
        f"metagrad {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    console.print(", ".join(f"{package} {_version(package)}" for package in _PACKAGES), highlight=False)
    console.print("device cpu: here", highlight=False)
    console.print(f"device cuda: {_cuda()}", highlight=False, markup=False)
    lacks = emulation.missing()
    here = "here" if lacks is None else f"none: it lacks {lacks}"
    console.print(f"device emulated, CUDA's kernels on the CPU: {here}", highlight=False, markup=False)
    table = Table(title="kernels", title_justify="left")
    for heading in ("operation", "implementation", "device", "here"):
        table.add_column(heading)
    for row in kernels():
        here = "yes" if row.available else escape(f"no: {row.reason}")
        table.add_row(row.operation, row.implementation, row.device, here)
    console.print(table)


if __name__ == "__main__":
    main()
