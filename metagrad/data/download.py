"""A file from the network: checked, shown, gone on with after a cut, and in its place only when it is whole."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DataError, requires
from .progress import progress_bar

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPTS = 4
TIMEOUT = 30.0
_BLOCK = 1 << 16


class _Answer(NamedTuple):
    """What came of asking for the rest of a file."""

    whole: bool
    ranges: bool
    """False where the server sent the file from its beginning, although it was asked for the rest."""
    cut: object = "no more"
    """Why no more came."""


def fetch(operation: str, url: str, path: Path, md5: str, *, progress: bool = True) -> None:
    """Bring a file to `path`, unless it is there already.

    What has arrived stays beside it as `NAME.part`: a cut connection is taken up again, here a few times and otherwise
    at the next call, by an HTTP Range request. It is removed where the server does not know these.

    Raises DataError where the server cannot be reached or has no such file, the connection was cut too often, the
    folder cannot be written, or the checksum is wrong; the file that has it is removed then.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    if path.exists():
        return
    part = path.with_name(f"{path.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        answer = _Answer(False, True)
        for _ in range(ATTEMPTS):
            try:
                answer = _receive(url, part, progress)
            except (HTTPException, ConnectionError, TimeoutError) as error:
                answer = answer._replace(cut=error)
            if answer.whole:
                break
        else:
            raise DataError(requires(operation, f"the whole of {url}", _left(part, answer)))
        found = _md5(part)
        if found != md5:
            part.unlink()
            raise DataError(requires(operation, f"the file with MD5 checksum {md5} at {url}", f"one with {found}"))
        os.replace(part, path)
    except URLError as error:
        got = error if isinstance(error, HTTPError) else error.reason
        raise DataError(requires(operation, f"the file at {url}", _line(got))) from error
    except OSError as error:
        raise DataError(requires(operation, f"a folder {path.parent} that can be written", error)) from error


def _receive(url: str, part: Path, progress: bool) -> _Answer:
    """Take up the download where it stands."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        answer = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code != 416:
            raise
        return _Answer(True, True)  # nothing lies beyond what is here: the checksum decides
    with answer:
        if answer.headers.get_content_type() == "text/html":  # of a network that wants a login; what is here stays
            raise URLError("a page of HTML")
        goes_on = answer.status == 206 and str(answer.headers["Content-Range"]).startswith(f"bytes {have}-")
        ranges = goes_on or not have
        have = have if goes_on else 0  # else the whole file is being sent
        length = str(answer.headers["Content-Length"])
        total = have + int(length) if length.isdecimal() else None
        with (
            open(part, "r+b" if have else "wb") as file,
            progress_bar(part.stem, total, done=have, size=True, show=progress) as advance,
        ):
            file.seek(have)
            try:
                while block := answer.read1(_BLOCK):
                    file.write(block)
                    advance(len(block))
            except (HTTPException, ConnectionError, TimeoutError) as error:
                return _Answer(False, ranges, error)
    return _Answer(total is None or part.stat().st_size >= total, ranges)


def _left(part: Path, answer: _Answer) -> str:
    """What there is after the last attempt; a part that no server will go on from is removed."""
    have = part.stat().st_size if part.exists() else 0
    kept = ", kept to go on with" if have and answer.ranges else ""
    if not answer.ranges:
        part.unlink(missing_ok=True)
        kept = " from a server that begins anew each time"
    return f"{have} bytes in {ATTEMPTS} attempts{kept}: {_line(answer.cut)}"


def _line(error: object) -> str:
    return " ".join(str(error).split())


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
