"""Every error metagrad raises: one sentence, `[operation] requires X but got Y`, with a class a caller can catch."""

from __future__ import annotations


class MetagradError(Exception):
    """The base of all errors of this library."""


class ShapeError(MetagradError, ValueError):
    """Shapes, axes or sizes that an operation cannot take."""


class DTypeError(MetagradError, TypeError):
    """Types that an operation cannot take: complex arrays, integer parameters, strings."""


class ImmutableError(MetagradError, TypeError):
    """An attempt to change a Tensor in place."""


class IndexingError(MetagradError, IndexError):
    """An index that the array does not have."""


class DeviceError(MetagradError, ValueError):
    """A device that is missing, or arrays of two devices in one operation."""


class OutOfMemoryError(MetagradError, MemoryError):
    """A device without the memory for the result of an operation. What was there before is untouched."""


class TraceError(MetagradError, RuntimeError):
    """A traced value used where it has no meaning: after its transform ended, or where a concrete value is needed."""


class MissingRuleError(MetagradError, NotImplementedError):
    """A primitive was transformed in a way that its class has no rule for."""


class OptionError(MetagradError, ValueError):
    """A setting that does not exist or does not fit the others."""


class CheckpointError(MetagradError, ValueError):
    """A file of saved parameters that is truncated, foreign, or belongs to other settings."""


class DataError(MetagradError, ValueError):
    """A data set that is missing, incomplete, corrupt, or laid out in another way."""


class MissingFileError(MetagradError, FileNotFoundError):
    """A file that is to be read and does not exist."""


class CaptureError(MetagradError, RuntimeError):
    """A step that cannot be captured in a CUDA graph, or a captured one that is given other arguments."""


class NonFiniteError(MetagradError, ArithmeticError):
    """A loss or a gradient became NaN or infinite."""


def requires(operation: str, need: str, got: object) -> str:
    """The one form of an error message.

    >>> requires("matmul", "inner sizes that agree", "(2, 3) and (4, 5)")
    '[matmul] requires inner sizes that agree but got (2, 3) and (4, 5)'
    """
    return f"[{operation}] requires {need} but got {got}"


__all__ = [
    "CaptureError",
    "CheckpointError",
    "DTypeError",
    "DataError",
    "DeviceError",
    "ImmutableError",
    "IndexingError",
    "MetagradError",
    "MissingFileError",
    "MissingRuleError",
    "NonFiniteError",
    "OptionError",
    "OutOfMemoryError",
    "ShapeError",
    "TraceError",
    "requires",
]
