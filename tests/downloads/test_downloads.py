"""The cache, requests, redirects and errors of single downloads."""

import errno
import hashlib
import os
import re
import subprocess
import sys
import time

import pytest

from mmbeit3.downloads import RetryPolicy, cache_path, connection, download, transfer
from mmbeit3.errors import UserError
from tests.downloads.server import Served
from tests.paths import ROOT

CONTENT = bytes(range(256)) * 200
SHA256 = hashlib.sha256(CONTENT).hexdigest()
POLICY = RetryPolicy(timeout=2.0, tries=3, corrupt_tries=2, backoff=0.002)


def get(*addresses, **known):
    return download(addresses, policy=POLICY, **known)


@pytest.fixture
def address(server, home):
    server.files["/dir/file.bin"] = Served(CONTENT)
    return server.address("/dir/file.bin")


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


def test_hash_stated_by_hugging_face(server, home):
    """In the redirect to its storage."""
    server.files["/elsewhere"] = Served(CONTENT)
    server.files["/m.safetensors"] = Served(b"", ["redirect_within"] * 4)
    server.linked = {"X-Linked-ETag": f'"{"0" * 64}"'}
    with pytest.raises(UserError, match=f"its SHA-256 begins with {SHA256[:12]}, the server states 000000000000"):
        get(server.address("/m.safetensors"))
    server.linked = {"X-Linked-ETag": f'"{SHA256}"', "X-Linked-Size": str(len(CONTENT))}
    assert get(server.address("/m.safetensors")).read_bytes() == CONTENT


def test_redirect_to_an_allowed_host(server, home, monkeypatch):
    server.files["/elsewhere"] = Served(CONTENT)
    server.files["/a.bin"] = Served(b"", ["redirect_away"])
    monkeypatch.setitem(connection.REDIRECTS, "127.0.0.1", ("localhost",))
    assert get(server.address("/a.bin")).read_bytes() == CONTENT


def test_redirect_loop(server, home):
    server.files["/elsewhere"] = Served(b"", ["redirect_within"] * 20)
    with pytest.raises(UserError, match="the server redirects in a loop"):
        get(server.address("/elsewhere"))


@pytest.mark.parametrize(
    ("source", "target", "may"),
    [
        ("https://github.com/a/b.pth", "https://release-assets.githubusercontent.com/x?token=y", True),
        ("https://github.com/a/b.pth", "https://objects.githubusercontent.com/x", True),
        ("https://github.com/a/b.pth", "https://github.com/x", True),
        ("https://github.com/a/b.pth", "http://github.com/x", False),
        ("https://github.com/a/b.pth", "http://release-assets.githubusercontent.com/x", False),
        ("https://github.com/a/b.pth", "https://me@github.com/x", False),
        ("https://github.com/a/b.pth", "https://evil.githubusercontent.com.example.org/x", False),
        ("https://github.com/a/b.pth", "https://huggingface.co/x", False),
        ("https://huggingface.co/a", "https://cas-bridge.xethub.hf.co/x", True),
        ("https://huggingface.co/a", "https://cdn-lfs.huggingface.co/x", True),
        ("https://huggingface.co/a", "https://evilhf.co/x", False),
        ("https://github.com/a", "http://localhost/x", False),
        ("http://127.0.0.1:1/a", "http://127.0.0.1:2/a", False),
        ("https://example.org/a", "https://example.org:444/a", False),
    ],
)
def test_allowed_redirects(source, target, may):
    assert connection._redirect_allowed(source, target) is may


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/a.pth", "is not https"),
        ("ftp://example.org/a.pth", "is not https"),
        ("file:///etc/passwd", "is not a valid file URL"),
        ("https://me:secret@example.org/a.pth", "without a user name"),
        ("https://example.org", "expected https://HOST/PATH"),
        ("https://example.org:port/a", "is not a valid file URL"),
        ("https://[::1/a", "is not a valid file URL"),
        ("https://example.org/../a.pth", "is not a plain file or folder name"),
        ("https://example.org/a/%2e%2e/b.pth", "is not a plain file or folder name"),
        ("https://example.org/a%2fb.pth", "is not a plain file or folder name"),
        ("https://example.org/a%5cb.pth", "is not a plain file or folder name"),
        ("https://example.org/a\\b.pth", "is not a plain file or folder name"),
        ("https://example.org/.ssh", "is not a plain file or folder name"),
        ("https://example.org/a//b", "is not a plain file or folder name"),
        ("https://example.org/a/", "is not a plain file or folder name"),
        ("https://example.org/a%00", "is not a plain file or folder name"),
    ],
)
def test_invalid_urls(home, url, message):
    for function in (cache_path, get):
        with pytest.raises(UserError, match=message) as caught:
            function(url)
        assert "\n" not in str(caught.value)
    assert not home.exists()


def test_queries_have_files_of_their_own(home):
    first, second = (cache_path(f"https://example.org/a.pth?version={n}") for n in (1, 2))
    assert first != second
    assert first.suffix == ".pth"
    assert first.parent == home / "downloads" / "example.org"


def test_proxy_from_the_environment(server, home, monkeypatch):
    server.files["/a.bin"] = Served(CONTENT)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert get(server.address("/a.bin")).read_bytes() == CONTENT
    assert server.seen[0][1] == server.address("/a.bin"), "a proxy gets the absolute URL"


def test_compressed_responses_are_rejected(server, address):
    server.files["/dir/file.bin"].headers = {"Content-Encoding": "gzip"}
    with pytest.raises(UserError, match="the server compresses the file"):
        get(address)


def test_full_disk(server, address, monkeypatch):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100}))
    with pytest.raises(
        UserError, match=r"has 0\.00 GB free, the download needs 0\.00 GB: free disk space, or set MMBEIT3_HOME"
    ):
        get(address)


def test_cache_folder_that_is_a_file(tmp_path, address, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMBEIT3_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set MMBEIT3_HOME to a folder that you can write to"):
        get(address)


def test_connection_refused(home):
    with pytest.raises(UserError, match=r"127\.0\.0\.1: .*refused.*tried 3 times"):
        get("http://127.0.0.1:9/a.bin")


ONE = """
import sys
from mmbeit3.downloads import download
print(download([sys.argv[1]]).read_bytes() == bytes(range(256)) * 200)
"""


@pytest.fixture
def start(address, home):
    """Start a process that downloads the file."""
    environment = {**os.environ, "MMBEIT3_HOME": str(home), "PYTHONPATH": str(ROOT)}
    processes = []

    def starting():
        command = [sys.executable, "-c", ONE, address]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield starting
    for process in processes:
        process.kill()
        process.communicate()


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_processes_download_once(server, address, start):
    server.files["/dir/file.bin"].faults = ["held"]
    first = start()
    until(lambda: server.requests.total())
    second = start()
    assert second.stderr.readline() == "waiting for another process that downloads 'file.bin'\n"
    server.released.set()
    for process in (first, second):
        assert process.communicate(timeout=60) == ("True\n", "")
        assert process.returncode == 0
    assert server.requests["/dir/file.bin"] == 1


def test_a_dead_process_holds_no_lock(server, address, start):
    server.files["/dir/file.bin"].faults = ["stall"]
    part = cache_path(address).parent / ".file.bin.part"
    process = start()
    until(lambda: part.is_file() and part.stat().st_size)
    process.kill()
    process.wait()
    assert get(address).read_bytes() == CONTENT
    assert server.seen[-1][2]["Range"] == f"bytes={len(CONTENT) // 2}-"
