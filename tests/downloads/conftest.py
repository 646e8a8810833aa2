import pytest

from tests.downloads.server import Served, Server
from tests.downloads.single import CONTENT


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache; the machine's own settings are removed."""
    for name in ("MMBEIT3_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MMBEIT3_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def address(server, home):
    server.files["/dir/file.bin"] = Served(CONTENT)
    return server.address("/dir/file.bin")
