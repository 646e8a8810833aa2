"""Files of URLs that users give: requests, retries and errors."""

import pytest

from mmbeit3.downloads import RetryPolicy, fetch, is_url
from mmbeit3.downloads.url import quote_url
from mmbeit3.errors import UserError
from tests.downloads.server import Served

CONTENT = bytes(range(256)) * 40
QUICK = RetryPolicy(timeout=0.3, tries=3, backoff=0.01)


@pytest.fixture(autouse=True)
def no_settings(home):
    """Ignore the environment of the machine."""


def test_is_url():
    for name in ("http://host/a.png", "HTTPS://host/a.png", " https://host/a.png"):
        assert is_url(name)
    for name in ("a.png", "/http://host/a.png", "ftp://host/a.png", "file:///a.png", "http:/a.png"):
        assert not is_url(name)


@pytest.mark.parametrize(
    ("given", "requested"),
    [
        ("http://host/a b.png", "http://host/a%20b.png"),
        (" http://host/a.png\n", "http://host/a.png"),
        ("http://host/ü/%C3%BC.png?name=ö d&x=1#part", "http://host/%C3%BC/%C3%BC.png?name=%C3%B6%20d&x=1"),
        ("http://host/100%.png", "http://host/100%25.png"),
        ("http://host/caf\udce9.png", "http://host/caf%E9.png"),
        ("https://bücher.example:81", "https://xn--bcher-kva.example:81/"),
        ("http://[::1]:8000/a.png", "http://[::1]:8000/a.png"),
        ("https://host/w,h=1:2/(a)[b]'c';d=e+f~$@!*.jpg", "https://host/w,h=1:2/(a)[b]'c';d=e+f~$@!*.jpg"),
    ],
)
def test_quoting(given, requested):
    assert quote_url(given) == requested
    assert quote_url(requested) == requested


@pytest.mark.parametrize(
    "address", ["http://", "http:///a.png", "http://host:port/a.png", "http://a b/c.png", "http://[::1/a.png"]
)
def test_invalid_urls(address):
    with pytest.raises(UserError, match=r"is not a valid URL.*expected http\(s\)://HOST/PATH"):
        fetch(address, 100)


def test_passwords_are_not_shown():
    with pytest.raises(UserError, match="the URL at host host contains a user name") as caught:
        fetch("http://me:secret@host/a.png", 100)
    assert "secret" not in str(caught.value)


def test_user_agent(server):
    server.files["/a%20%C3%BC.png"] = Served(CONTENT)
    assert fetch(server.address("/a ü.png"), len(CONTENT)) == CONTENT
    assert server.seen[0][2]["User-Agent"] == "mmbeit3"


def test_too_large(server):
    server.files["/a"] = Served(CONTENT)
    with pytest.raises(UserError, match=f"the file has {len(CONTENT)} bytes, the limit is 100"):
        fetch(server.address("/a"), 100)
    server.files["/a"] = Served(CONTENT, faults=["endless"])
    with pytest.raises(UserError, match="the file has more than 100000 bytes"):
        fetch(server.address("/a"), 100_000)
    assert server.requests["/a"] == 2, "a file that is too large is not requested again"


@pytest.mark.parametrize("fault", ["drop", "drop_at_once", "cut", "stall", "busy", "announced_long"])
def test_temporary_faults_are_retried(server, fault):
    server.files["/a"] = Served(CONTENT, faults=[fault])
    assert fetch(server.address("/a"), 1 << 20, QUICK) == CONTENT
    assert server.requests["/a"] == 2


def test_lasting_faults(server):
    server.files["/busy"] = Served(CONTENT, faults=["busy"] * 9)
    server.files["/slow"] = Served(CONTENT, faults=["trickle"] * 9)
    cases = {"/busy": r"status 503 \(tried 3 times\)", "/slow": r"only \d+ bytes arrived in 0 s", "/none": "status 404"}
    for path, message in cases.items():
        with pytest.raises(
            UserError, match=f"cannot be downloaded: {message}.*; download it yourself and give its path"
        ) as caught:
            fetch(server.address(path), 1 << 20, QUICK)
        assert "\n" not in str(caught.value)
    assert server.requests == {"/busy": 3, "/slow": 3, "/none": 1}
    with pytest.raises(UserError, match="Connection refused"):
        fetch("http://127.0.0.1:9/a.png", 100, QUICK)


def test_redirects(server):
    """To another host, but not to other schemes."""
    server.files["/a"] = Served(b"", faults=["redirect_away"])
    server.files["/elsewhere"] = Served(CONTENT)
    assert fetch(server.address("/a"), 1 << 20) == CONTENT
    server.files["/b"] = Served(b"", faults=["redirect_to_a_file"])
    server.files["/c"] = Served(b"", faults=["redirect_to_ftp"])
    with pytest.raises(UserError, match=r"the server redirects to a URL that is not http\(s\)"):
        fetch(server.address("/c"), 1 << 20, QUICK)
    with pytest.raises(UserError, match=r"the server redirects to a URL that is not http\(s\)"):
        fetch(server.address("/b"), 1 << 20, QUICK)


def test_offline(server, monkeypatch):
    monkeypatch.setenv("MMBEIT3_OFFLINE", "1")
    with pytest.raises(UserError, match="is not downloaded because MMBEIT3_OFFLINE is set"):
        fetch(server.address("/a"), 100)
    assert not server.requests
