"""Requests, redirects, errors and parallel processes of single downloads."""

import os
import subprocess
import sys
import time

import pytest

from mmbeit3.downloads import cache_path, connection, transfer
from mmbeit3.errors import UserError
from tests.downloads.server import Served
from tests.downloads.single import CONTENT, SHA256, get
from tests.paths import ROOT


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
        ("https://github.com/a/b/archive/c.zip", "https://codeload.github.com/a/b/zip/c", True),
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
