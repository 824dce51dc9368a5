"""What a kernel raises beside ValueError, TypeError and IndexError, which speak of its arguments."""

from __future__ import annotations


class KernelUnavailable(RuntimeError):
    """No kernel of an operation can serve here.

    Attributes:
        reason: what is missing, one clause.
        install: the command that installs it, or "" where none would help.
    """

    def __init__(self, operation: str, reason: str, install: str = "") -> None:
        super().__init__(operation, reason, install)
        self.operation = operation
        self.reason = reason
        self.install = install

    def __str__(self) -> str:
        remedy = f"; install it with: {self.install}" if self.install else ""
        return f"[{self.operation}] requires a kernel that can run here but got: {self.reason}{remedy}"
