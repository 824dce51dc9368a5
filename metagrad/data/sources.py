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


def leads_nowhere(path: Path) -> str:
    """What to add to the name of a path that is a symbolic link to nothing."""
    return " (a symbolic link that leads nowhere)" if os.path.islink(path) and not os.path.exists(path) else ""


class Source(Protocol):
    """Files by their names, which are relative and have forward slashes."""

    def names(self) -> list[str]:
        """All files, sorted."""

    def read(self, name: str) -> bytes:
        """What one of them holds; raises DataError that names it where it is missing or damaged."""

    def where(self, name: str = "") -> str:
        """The place of the file, or of the source, in words."""

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
        for folder, _, files in os.walk(self._root / self._part, onerror=self._refuse):
            inside = os.path.relpath(folder, self._root).replace(os.sep, "/")
            found += [name if inside == "." else f"{inside}/{name}" for name in files]
        return sorted(found)

    def _refuse(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):  # a folder that is not there has no files
            raise DataError(requires(self._operation, "a folder that can be read", error)) from error

    def _fault(self, name: str, error: OSError) -> DataError:
        return DataError(
            requires(self._operation, "a file that can be read", f"{error}{leads_nowhere(self._root / name)}")
        )

    def read(self, name: str) -> bytes:
        """What one of them holds; raises DataError that names it where it cannot be read."""
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise self._fault(name, error) from error

    def where(self, name: str = "") -> str:
        """The file's path, or the folder's."""
        return str(self._root / (name or self._part))

    def stamp(self, names: Sequence[str] | None = None) -> Stamp:
        """Of these files, else of all."""
        facts = []
        for name in self.names() if names is None else names:
            try:
                status = os.stat(self._root / name)
            except OSError as error:
                raise self._fault(name, error) from error
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

    def where(self, name: str = "") -> str:
        """The zip's path, and the member."""
        return f"{name} in {self._path}" if name else str(self._path)

    def stamp(self) -> Stamp:
        """Of the zip as a file."""
        status = self._path.stat()
        return [(str(self._path.resolve()), status.st_size, status.st_mtime_ns)]
