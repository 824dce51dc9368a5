"""Downloads, from a server in this process: whole, cut, taken up again, and wrong."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import archives
import numpy as np
import pytest

from metagrad import data
from metagrad.data import omniglot_files
from metagrad.data.download import ATTEMPTS, fetch
from metagrad.errors import DataError

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files`; with `ranges`, from any byte on; sends no more than `most` bytes of what it announces.

    `headers` go out with each file, and an `error` in its place.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/file.zip": CONTENT}
        self.ranges, self.most, self.announces = True, None, True
        self.headers, self.error = {}, None
        self.sent = []  # (first byte, number of bytes) of each answer

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, content = self.server, self.server.files.get(self.path)
        if content is None or server.error:
            self.send_error(server.error or 404)
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(asked[1]) if asked and server.ranges else 0
        if first >= len(content):
            self.send_error(416)
            return
        body = content[first:]
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if server.announces:
            self.send_header("Content-Length", str(len(body)))
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = body[: server.most]
        server.sent.append((first, len(body)))
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def get(server, tmp_path):
    path = tmp_path / "new" / "file.zip"

    def get(md5=MD5, name="/file.zip"):
        fetch("test", server.url + name, path, md5, progress=False)
        return path

    return get


def lying_in(folder):
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("announces", [True, False])
def test_a_file_arrives_whole_and_alone(server, get, announces):
    server.announces = announces
    path = get()
    assert path.read_bytes() == CONTENT
    assert lying_in(path.parent) == ["file.zip"]


def test_a_file_that_is_here_is_not_asked_for(server, get):
    get()
    get()
    assert len(server.sent) == 1


def test_a_cut_connection_goes_on_from_where_it_was_cut(server, get):
    server.most = 120_000
    assert get().read_bytes() == CONTENT
    assert server.sent == [(0, 120_000), (120_000, 120_000), (240_000, 60_000)]


def test_what_too_many_cuts_left_is_kept_for_the_next_call(server, get, tmp_path):
    server.most = 10_000
    with pytest.raises(DataError, match=rf"{ATTEMPTS * 10_000} bytes in {ATTEMPTS} attempts, kept to go on with"):
        get()
    assert lying_in(tmp_path / "new") == ["file.zip.part"]
    server.most, server.sent = None, []
    assert get().read_bytes() == CONTENT
    assert server.sent == [(ATTEMPTS * 10_000, 300_000 - ATTEMPTS * 10_000)]


def test_a_server_without_ranges_sends_all_again(server, get, tmp_path):
    server.ranges = False
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.zip.part").write_bytes(CONTENT[:100_000])
    assert get().read_bytes() == CONTENT
    assert server.sent == [(0, 300_000)]


def test_a_part_that_is_whole_already_is_taken(server, get, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.zip.part").write_bytes(CONTENT)
    assert get().read_bytes() == CONTENT
    assert server.sent == []


@pytest.mark.parametrize("before", [b"", b"of another file"])
def test_a_wrong_checksum_leaves_nothing(get, tmp_path, before):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.zip.part").write_bytes(before)
    with pytest.raises(DataError, match=r"requires the file with MD5 checksum \w+ at http.* but got one with \w+"):
        get(MD5 if before else "0" * 32)
    assert lying_in(tmp_path / "new") == []
    assert get().read_bytes() == CONTENT


@pytest.mark.parametrize("before", [b"", CONTENT[:1000]])
def test_a_server_that_begins_anew_and_is_cut_each_time_leaves_no_part_to_go_on_with(server, get, tmp_path, before):
    server.ranges, server.most = False, 10_000
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.zip.part").write_bytes(before)
    words = rf"but got 10000 bytes in {ATTEMPTS} attempts from a server that begins anew each time: no more$"
    with pytest.raises(DataError, match=words):
        get()
    assert lying_in(tmp_path / "new") == []


def test_a_page_in_the_place_of_the_file_does_not_cost_what_has_arrived(server, get, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file.zip.part").write_bytes(CONTENT[:1000])
    server.ranges, server.headers = False, {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(DataError, match=r"requires the file at http\S+ but got a page of HTML$"):
        get()
    server.ranges, server.headers = True, {}
    get()
    assert server.sent[-1] == (1000, 299_000)


def test_a_length_that_is_no_number_is_as_good_as_none(server, get):
    server.announces, server.headers = False, {"Content-Length": "long"}
    assert get().read_bytes() == CONTENT


@pytest.mark.parametrize("error", [404, 500, 503])
@pytest.mark.parametrize("before", [b"", CONTENT[:1000]])
def test_an_error_of_the_server_is_said_and_costs_nothing_that_has_arrived(server, get, tmp_path, error, before):
    server.error = error
    if before:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "file.zip.part").write_bytes(before)
    with pytest.raises(DataError, match=rf"requires the file at http://127.0.0.1:\d+/file.zip but got .* {error}: \w+"):
        get()
    assert lying_in(tmp_path / "new") == ["file.zip.part"] * bool(before)


def test_no_server_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DataError, match=r"requires the file at http://127.0.0.1:1/x but got \[Errno \d+\] \w+"):
        fetch("test", "http://127.0.0.1:1/x", tmp_path / "x", MD5, progress=False)


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match=r"requires a folder \S+/file/in that can be written but got .*file"):
        fetch("test", f"{server.url}/file.zip", tmp_path / "file" / "in" / "x", MD5, progress=False)


def test_the_bar_counts_what_was_there_before(server, tmp_path, capsys):
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:100_000])
    fetch("test", f"{server.url}/file.zip", tmp_path / "file.zip", MD5)
    assert "300.0/300.0 kB" in capsys.readouterr().err


@pytest.fixture
def official(server, tmp_path, monkeypatch):
    """The server in the place of the official one, with small zips."""
    archives.write_zips(tmp_path / "official")
    server.files = {f"/{part}.zip": (tmp_path / "official" / f"{part}.zip").read_bytes() for part in archives.PARTS}
    monkeypatch.setattr(omniglot_files, "DOWNLOADS", server.url)
    sums = {part: hashlib.md5(server.files[f"/{part}.zip"]).hexdigest() for part in archives.PARTS}
    monkeypatch.setattr(omniglot_files, "MD5", sums)
    return server


def omniglot(**options):
    return data.omniglot(subset=True, progress=False, **options)


def test_omniglot_is_downloaded_on_request_only_and_only_once(official, cache):
    with pytest.raises(DataError, match="download=True"):
        omniglot()
    assert official.sent == []
    assert len(omniglot(download=True)) == 18
    assert lying_in(cache / "omniglot") == ["images_background.zip", "images_evaluation.zip"]
    assert len(omniglot(download=True)) == len(omniglot()) == 18
    assert len(official.sent) == 2


def test_a_download_of_omniglot_that_lacks_its_second_zip_goes_on_with_that(official, cache):
    second = official.files.pop("/images_evaluation.zip")
    with pytest.raises(DataError, match="404"):
        omniglot(download=True)
    with pytest.raises(DataError, match="images_background alone in"):
        omniglot()
    official.files["/images_evaluation.zip"] = second
    assert len(omniglot(download=True)) == 18
    assert len(official.sent) == 2


def test_the_checksums_are_of_both_official_zips():
    assert {name: len(md5) for name, md5 in omniglot_files.MD5.items()} == dict.fromkeys(archives.PARTS, 32)
