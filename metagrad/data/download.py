"""A file from the network: checked, shown, gone on with after a cut, and in its place only when it is whole."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from ..errors import DataError, requires
from .progress import progress_bar

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPTS = 4
TIMEOUT = 30.0
_BLOCK = 1 << 16


def fetch(operation: str, url: str, path: Path, md5: str, *, progress: bool = True) -> None:
    """Bring a file to `path`, unless it is there already.

    What has arrived stays beside it as `NAME.part`: a cut connection is taken up again, here a few times and otherwise
    at the next call, by an HTTP Range request where the server knows it.

    Raises DataError where the server cannot be reached or has no such file, the connection was cut too often, the
    folder cannot be written, or the checksum is wrong; the file that has it is removed then.
    """
    from http.client import HTTPException

    if path.exists():
        return
    part = path.with_name(f"{path.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(ATTEMPTS):
            try:
                if _receive(url, part, progress):
                    break
            except (HTTPException, ConnectionError, TimeoutError) as error:
                if attempt == ATTEMPTS - 1:
                    raise DataError(_cut(operation, url, part, error)) from error
        else:
            raise DataError(_cut(operation, url, part, "no more"))
        found = _md5(part)
        if found != md5:
            part.unlink()
            raise DataError(requires(operation, f"the file with MD5 checksum {md5} at {url}", f"one with {found}"))
        os.replace(part, path)
    except OSError as error:  # also URLError and HTTPError
        raise DataError(requires(operation, f"{url} to reach and {path.parent} to write", error)) from error


def _receive(url: str, part: Path, progress: bool) -> bool:
    """Take up the download where it stands; whether it is whole now."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        answer = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code != 416:
            raise
        return True  # nothing lies beyond what is here: the checksum decides
    with answer:
        if answer.status != 206 or not str(answer.headers["Content-Range"]).startswith(f"bytes {have}-"):
            have = 0  # the whole file is being sent
        length = answer.headers["Content-Length"]
        total = have + int(length) if length else None
        with (
            open(part, "r+b" if have else "wb") as file,
            progress_bar(part.stem, total, done=have, size=True, show=progress) as advance,
        ):
            file.seek(have)
            while block := answer.read1(_BLOCK):
                file.write(block)
                advance(len(block))
    return total is None or part.stat().st_size >= total


def _cut(operation: str, url: str, part: Path, error: object) -> str:
    have = part.stat().st_size if part.exists() else 0
    got = f"{have} bytes in {ATTEMPTS} attempts, kept to go on with: {error}"
    return requires(operation, f"the whole of {url}", got)


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
