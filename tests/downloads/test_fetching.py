"""Files of addresses that users name: how they are asked for, and when they are refused."""

import pytest

from mmbeit3.downloads import Patience, fetch, is_address
from mmbeit3.downloads.fetching import quote_address
from mmbeit3.errors import UserError
from tests.downloads.server import Served

CONTENT = bytes(range(256)) * 40
QUICK = Patience(timeout=0.3, tries=3, pause=0.01)


@pytest.fixture(autouse=True)
def no_settings(home):
    """Nothing of the machine's."""


def test_what_is_an_address():
    for name in ("http://host/a.png", "HTTPS://host/a.png", " https://host/a.png"):
        assert is_address(name)
    for name in ("a.png", "/http://host/a.png", "ftp://host/a.png", "file:///a.png", "http:/a.png"):
        assert not is_address(name)


@pytest.mark.parametrize(
    ("given", "asked"),
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
def test_quoting(given, asked):
    assert quote_address(given) == asked
    assert quote_address(asked) == asked


@pytest.mark.parametrize(
    "address", ["http://", "http:///a.png", "http://host:port/a.png", "http://a b/c.png", "http://[::1/a.png"]
)
def test_no_address(address):
    with pytest.raises(UserError, match=r"is no address.*give http\(s\)://HOST/PATH"):
        fetch(address, 100)


def test_a_password_is_not_shown():
    with pytest.raises(UserError, match="an address at host has a user's name in it") as caught:
        fetch("http://me:secret@host/a.png", 100)
    assert "secret" not in str(caught.value)


def test_it_says_who_asks(server):
    server.files["/a%20%C3%BC.png"] = Served(CONTENT)
    assert fetch(server.address("/a ü.png"), len(CONTENT)) == CONTENT
    assert server.seen[0][2]["User-Agent"] == "mmbeit3"


def test_too_large(server):
    server.files["/a"] = Served(CONTENT)
    with pytest.raises(UserError, match=f"it has {len(CONTENT)} bytes, and 100 are the most"):
        fetch(server.address("/a"), 100)
    server.files["/a"] = Served(CONTENT, faults=["endless"])
    with pytest.raises(UserError, match="it has more than 100000 bytes"):
        fetch(server.address("/a"), 100_000)
    assert server.requests["/a"] == 2, "a file that is too large is not asked for again"


@pytest.mark.parametrize("fault", ["drop", "drop_at_once", "cut", "stall", "busy", "announced_long"])
def test_a_fault_that_passes(server, fault):
    server.files["/a"] = Served(CONTENT, faults=[fault])
    assert fetch(server.address("/a"), 1 << 20, QUICK) == CONTENT
    assert server.requests["/a"] == 2


def test_faults_that_last(server):
    server.files["/busy"] = Served(CONTENT, faults=["busy"] * 9)
    server.files["/slow"] = Served(CONTENT, faults=["trickle"] * 9)
    cases = {"/busy": r"status 503 \(tried 3 times\)", "/slow": r"it sent \d+ bytes in 0 s", "/none": "status 404"}
    for path, message in cases.items():
        with pytest.raises(UserError, match=f"cannot be downloaded: {message}.*; fetch it by hand and give its path") as caught:
            fetch(server.address(path), 1 << 20, QUICK)
        assert "\n" not in str(caught.value)
    assert server.requests == {"/busy": 3, "/slow": 3, "/none": 1}
    with pytest.raises(UserError, match="Connection refused"):
        fetch("http://127.0.0.1:9/a.png", 100, QUICK)


def test_it_is_led_on(server):
    """Also to another host, but not to files of this machine."""
    server.files["/a"] = Served(b"", faults=["redirect_away"])
    server.files["/elsewhere"] = Served(CONTENT)
    assert fetch(server.address("/a"), 1 << 20) == CONTENT
    server.files["/b"] = Served(b"", faults=["redirect_to_a_file"])
    server.files["/c"] = Served(b"", faults=["redirect_to_ftp"])
    with pytest.raises(UserError, match="it leads on to what is no address of the web"):
        fetch(server.address("/c"), 1 << 20, QUICK)
    with pytest.raises(UserError, match="it leads on to what is no address of the web"):
        fetch(server.address("/b"), 1 << 20, QUICK)


def test_offline(server, monkeypatch):
    monkeypatch.setenv("MMBEIT3_OFFLINE", "1")
    with pytest.raises(UserError, match="is not asked for, as MMBEIT3_OFFLINE is set"):
        fetch(server.address("/a"), 100)
    assert not server.requests
