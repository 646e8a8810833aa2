"""The cache, resumed downloads and fallbacks of single downloads."""

import errno
import hashlib
import os
import re

import pytest

from mmbeit3.downloads import RetryPolicy, cache_path, download, transfer
from mmbeit3.errors import UserError
from tests.downloads.server import Served
from tests.downloads.single import CONTENT, SHA256, get


def test_cache_path_and_record(server, home, address):
    path = get(address)
    assert path == home / "downloads" / f"127.0.0.1_{server.server_port}" / "dir" / "file.bin" == cache_path(address)
    assert path.read_bytes() == CONTENT
    record = path.parent / ".file.bin.sha256"
    assert record.read_text() == f"{SHA256}  file.bin\n"
    assert sorted(file.name for file in path.parent.iterdir()) == [".file.bin.lock", ".file.bin.sha256", "file.bin"]
    assert get(address) == path
    assert server.requests.total() == 1


def test_changed_files_are_rejected(server, address):
    path = get(address)
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(UserError, match=rf"file.bin' has changed: its SHA-256 begins with \w+, expected {SHA256[:12]}"):
        get(address)
    path.unlink()
    server.files["/dir/file.bin"].content = CONTENT[::-1]
    with pytest.raises(UserError, match=r"as recorded in '.*\.file\.bin\.sha256'"):
        get(address)
    assert not path.exists()
    (path.parent / ".file.bin.sha256").unlink()
    assert get(address).read_bytes() == CONTENT[::-1]


def test_read_only_cache(address, monkeypatch, capsys):
    path = get(address)
    record = path.parent / ".file.bin.sha256"
    record.unlink()

    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("mmbeit3.files.tempfile.mkstemp", refuse)
    assert get(address) == path
    said = capsys.readouterr().err
    assert said.startswith("note: the SHA-256 of 'file.bin' is not recorded: '")
    assert "Read-only file system" in said
    assert not record.exists()


def test_a_broken_record(address):
    path = get(address)
    (path.parent / ".file.bin.sha256").write_text("?")
    with pytest.raises(UserError, match="contains no SHA-256: delete it"):
        get(address)


def test_known_hash_and_size(server, address):
    assert get(address, size=len(CONTENT), sha256=SHA256)
    cache_path(address).unlink()
    (cache_path(address).parent / ".file.bin.sha256").unlink()
    with pytest.raises(UserError, match=r"the server's file has 51200 bytes, expected 7 \(tried 3 times\)"):
        get(address, size=7)
    with pytest.raises(UserError, match=f"begins with {SHA256[:12]}, expected 000000000000"):
        get(address, sha256="0" * 64)
    assert not cache_path(address).exists()
    path = get(address)
    with pytest.raises(UserError, match="has 51200 bytes, expected 7"):
        get(address, size=7)
    with pytest.raises(UserError, match="has changed"):
        get(address, sha256="0" * 64)
    assert path.exists()


def test_file_added_by_hand(home, address):
    path = cache_path(address)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"by hand")

    def check(file):
        if file.read_bytes() != b"by hand":
            raise UserError("no")

    assert get(address, check=check) == path
    path.write_bytes(b"changed")
    with pytest.raises(UserError, match="has changed"):
        get(address, check=check)
    (path.parent / ".file.bin.sha256").unlink()
    with pytest.raises(UserError, match="no"):
        get(address, check=check)


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_offline(server, address, monkeypatch, value):
    monkeypatch.setenv("MMBEIT3_OFFLINE", value)
    with pytest.raises(UserError, match=rf"MMBEIT3_OFFLINE is set: unset it, or save {re.escape(address)} there"):
        get(address)
    monkeypatch.setenv("MMBEIT3_OFFLINE", "0")
    get(address)
    monkeypatch.setenv("MMBEIT3_OFFLINE", value)
    get(address)
    assert server.requests.total() == 1


def test_resume_after_a_break(server, address):
    server.files["/dir/file.bin"].faults = ["cut"]
    assert get(address).read_bytes() == CONTENT
    requests = [headers for _, _, headers in server.seen]
    assert "Range" not in requests[0]
    assert requests[1]["Range"] == f"bytes={len(CONTENT) // 2}-"
    assert requests[1]["If-Range"] == f'"{hashlib.md5(CONTENT).hexdigest()}"'


@pytest.mark.parametrize("fault", ["wrong_range", "other_version"])
def test_restart_if_the_part_does_not_fit(server, address, fault):
    server.files["/dir/file.bin"].faults = ["cut", fault]
    server.files["/dir/file.bin"].old = CONTENT[::-1]
    path = download([address], sha256=SHA256, policy=RetryPolicy(tries=3, corrupt_tries=1, backoff=0.002))
    assert path.read_bytes() == CONTENT
    assert ["Range" in headers for _, _, headers in server.seen] == [False, True, False]


def test_resume_in_the_next_run(server, address):
    server.files["/dir/file.bin"].faults = ["cut", "busy", "busy"]
    with pytest.raises(UserError, match=r"status 503 \(tried 3 times\)\): try again later to resume"):
        get(address)
    assert get(address).read_bytes() == CONTENT
    assert server.seen[-1][2]["Range"] == f"bytes={len(CONTENT) // 2}-"


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_restart_without_an_etag(server, address, etag):
    server.files["/dir/file.bin"].etag = etag
    server.files["/dir/file.bin"].faults = ["cut"]
    assert get(address).read_bytes() == CONTENT
    assert not any("Range" in headers for _, _, headers in server.seen)


def test_a_complete_part_is_not_requested_again(server, address):
    """The process was killed between the last byte and the renaming."""
    server.files["/dir/file.bin"].faults = ["good"]

    def killed(path):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(address, check=killed)
    assert not cache_path(address).exists()
    assert get(address).read_bytes() == CONTENT
    assert server.requests.total() == 1


def test_a_part_is_kept_if_the_next_source_fails(server, home):
    server.files["/1/f.bin"] = Served(CONTENT, ["cut"], dead=True)
    sources = [server.address("/1/f.bin"), server.address("/2/f.bin")]
    with pytest.raises(UserError, match="status 404"):
        get(*sources)
    server.files["/1/f.bin"].dead = False
    get(*sources)
    assert server.seen[-1][2]["Range"] == f"bytes={len(CONTENT) // 2}-"


def test_fallback_to_a_mirror(server, home):
    server.files["/2/f.bin"] = Served(CONTENT)
    path = get(server.address("/1/f.bin"), server.address("/2/f.bin"))
    assert path == cache_path(server.address("/1/f.bin"))
    assert list(server.requests) == ["/1/f.bin", "/2/f.bin"]


def test_many_breaks_do_not_end_a_download_that_advances(server, address, monkeypatch):
    monkeypatch.setattr(transfer, "_PROGRESS", 1000)
    served = server.files["/dir/file.bin"]
    served.faults = ["cut"] * 8
    served.cut = 0.0

    def at(of):
        of.cut += 0.1
        return int(of.cut * len(CONTENT))

    monkeypatch.setattr("tests.downloads.server.Handler._at", lambda self, of: at(of))
    assert get(address).read_bytes() == CONTENT
    assert server.requests.total() == 9
