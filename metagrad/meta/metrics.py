"""The metrics of a run as JSON lines, one row a line, in a file that can be cut back to an earlier moment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, requires

FILE = "metrics.jsonl"


class Metrics:
    """The file opened for appending, after its first `size` bytes; what followed them is cut off.

    Raises CheckpointError where the file is shorter than that.
    """

    def __init__(self, folder: Path, size: int = 0) -> None:
        path = folder / FILE
        have = path.stat().st_size if path.exists() else 0
        if have < size:
            raise CheckpointError(requires("resume", f"the run's metrics, {size} bytes in {path}", f"{have} bytes"))
        self._file = open(path, "ab")  # noqa: SIM115 (it stays open with the run)
        self._file.truncate(size)

    def write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row).encode() + b"\n")

    def flush(self) -> int:
        """Everything written so far is on disk; its size in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def read_metrics(folder: Path | str) -> list[dict[str, Any]]:
    """All rows of a run's metrics."""
    text = (Path(folder) / FILE).read_text()
    return [json.loads(line) for line in text.splitlines()]
