from dataclasses import replace

import pytest

from mmbeit3.datasets.prepared import index
from tests.datasets.prepared.made import MADE, zip_bytes
from tests.downloads.conftest import home, server  # noqa: F401  (fixtures)
from tests.downloads.server import Served


@pytest.fixture
def published(server, home, monkeypatch):  # noqa: F811
    """The test server has archives of all data sets, and the index names them."""
    known = {}
    for name, entry in index.read_known().items():
        path = f"/{name}/archive/master.zip"
        server.files[path] = Served(zip_bytes(MADE[name]()))
        known[name] = replace(entry, sources=(server.address(path),))
    monkeypatch.setattr(index, "read_known", lambda: known)
    return server
