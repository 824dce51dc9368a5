"""Where picture files lie: a folder or a zip, read alike."""

from __future__ import annotations

import os
import zipfile
import zlib
from typing import TYPE_CHECKING, Protocol

from ..errors import DataError, requires

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Stamp = list[tuple[str, int, int]]
"""Name, size and time of change, in nanoseconds, of each file: what is decoded again when it differs."""


class Source(Protocol):
    """Files by their names, which are relative and have forward slashes."""

    def names(self) -> list[str]:
        """All files, sorted."""

    def read(self, name: str) -> bytes:
        """What one of them holds; raises DataError that names it where it is missing or damaged."""

    def where(self, name: str) -> str:
        """The file's place in words."""

    def stamp(self) -> Stamp:
        """What changes when the source does."""


class Folder:
    """The files in a folder and the folders in it; with `part`, those under this folder of it."""

    def __init__(self, operation: str, root: Path, part: str = "") -> None:
        self._operation = operation
        self._root = root
        self._part = part

    def names(self) -> list[str]:
        """All files, sorted."""
        found = []
        for folder, _, files in os.walk(self._root / self._part):
            inside = os.path.relpath(folder, self._root).replace(os.sep, "/")
            found += [name if inside == "." else f"{inside}/{name}" for name in files]
        return sorted(found)

    def read(self, name: str) -> bytes:
        """What one of them holds; raises DataError that names it where it cannot be read."""
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise DataError(requires(self._operation, "a file that can be read", error)) from error

    def where(self, name: str) -> str:
        """The file's path."""
        return str(self._root / name)

    def stamp(self, names: Sequence[str] | None = None) -> Stamp:
        """Of these files, else of all."""
        facts = []
        for name in self.names() if names is None else names:
            status = os.stat(self._root / name)
            facts.append((name, status.st_size, status.st_mtime_ns))
        return facts


class Zip:
    """The members of a zip, which is opened when it is first asked for one."""

    def __init__(self, operation: str, path: Path) -> None:
        self._operation = operation
        self._path = path
        self._opened: zipfile.ZipFile | None = None

    def _file(self) -> zipfile.ZipFile:
        if self._opened is None:
            try:
                self._opened = zipfile.ZipFile(self._path)
            except (OSError, NotImplementedError, UnicodeDecodeError, zipfile.BadZipFile) as error:
                raise DataError(requires(self._operation, "a whole zip", self._fault(error))) from error
        return self._opened

    def _fault(self, error: Exception) -> str:
        """A zip's list of members stands at its end, so one that was cut off begins like a zip and has none."""
        if isinstance(error, OSError):
            return str(error)
        size = self._path.stat().st_size
        with open(self._path, "rb") as file:
            begins = file.read(4) == b"PK\x03\x04"
        kind = "a partial zip, whose end is missing" if begins else f"no zip: {error}"
        return f"{self._path}, {size} bytes, {kind}"

    def names(self) -> list[str]:
        """All members that are files, sorted."""
        return sorted(member.filename for member in self._file().infolist() if not member.is_dir())

    def read(self, name: str) -> bytes:
        """What a member holds; raises DataError that names zip and member where it is damaged."""
        try:
            return self._file().read(name)
        except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            got = f"the member {name} of {self._path}, which is corrupt: {error}"
            raise DataError(requires(self._operation, "a zip whose members can be read", got)) from error

    def where(self, name: str) -> str:
        """The zip's path and the member."""
        return f"{name} in {self._path}"

    def stamp(self) -> Stamp:
        """Of the zip as a file."""
        status = self._path.stat()
        return [(str(self._path.resolve()), status.st_size, status.st_mtime_ns)]
