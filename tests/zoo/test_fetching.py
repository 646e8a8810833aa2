"""Downloads by name from a local server."""

import json

import pytest
import torch
from safetensors.torch import save

from mmbeit3 import zoo
from mmbeit3.checkpoint import read_state_dict
from mmbeit3.downloads import RetryPolicy
from mmbeit3.errors import UserError
from mmbeit3.zoo.fetching import _check_sentencepiece
from tests.downloads.conftest import home, server  # noqa: F401
from tests.downloads.server import Served
from tests.downloads.test_faults import saved
from tests.zoo.made import make_index, spm

POLICY = RetryPolicy(timeout=2.0, tries=2, backoff=0.002)


@pytest.fixture
def index(server, home, tmp_path, monkeypatch):  # noqa: F811
    """An index whose files are on the server."""
    root = make_index(tmp_path / "index", server.address)
    monkeypatch.setattr("mmbeit3.zoo.index.path_of", lambda name: root / name)
    monkeypatch.setattr("mmbeit3.downloads.verified.RetryPolicy", lambda: POLICY)
    content, tensors = saved(3)
    server.files = {
        "/full.pth": Served(content),
        "/vision.safetensors": Served(save({"vision": torch.ones(3)})),
        "/words.spm": Served(spm()),
        "/captions.json": Served(json.dumps({"annotations": []}).encode()),
    }
    return tensors


def test_load(index, server):  # noqa: F811
    state = zoo.load("full")
    assert state.keys() == index.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in index.items())
    assert zoo.local_path("full") == zoo.fetch("full")
    assert server.requests.total() == 1


def test_configs_find_what_was_downloaded_by_name(index, server):  # noqa: F811
    zoo.fetch("full")
    assert read_state_dict(server.address("/full.pth")).keys() == index.keys()
    assert server.requests.total() == 1


def test_files_that_are_not_checkpoints(index):
    for name in ("words.spm", "captions.json"):
        with pytest.raises(UserError, match=rf"is not a checkpoint: mmbeit3.zoo.fetch\('{name}'\) returns its path"):
            zoo.load(name)
        assert zoo.fetch(name).is_file()


def test_a_config_without_weights(index):
    for function in (zoo.fetch, zoo.load, zoo.local_path):
        with pytest.raises(UserError, match=r"has no published weights: train its config .*/configs/x/own\.py"):
            function("own")


def test_vision_only(index, server):  # noqa: F811
    del server.files["/full.pth"]
    with pytest.raises(UserError, match=r"status 404.*; 'vision' has only its vision tower"):
        zoo.load("full")
    assert zoo.load("full", vision_only=True).keys() == {"vision"}
    del server.files["/vision.safetensors"]
    zoo.local_path("vision").unlink()
    with pytest.raises(UserError, match=r"status 404.*its replacement fails as well: .*status 404"):
        zoo.load("full", vision_only=True)


def test_changed_files_are_not_replaced(index):
    zoo.fetch("full").write_bytes(b"changed")
    with pytest.raises(UserError, match="has changed"):
        zoo.load("full", vision_only=True)


@pytest.mark.parametrize("name", ["full", "vision", "words.spm", "captions.json"])
@pytest.mark.parametrize("fault", ["announced_short", "page"])
def test_damaged_files_of_each_kind(index, server, name, fault):  # noqa: F811
    path = zoo.find(name).sources[0].rsplit("/", 1)[1]
    server.files[f"/{path}"].faults = [fault] * 2
    with pytest.raises(UserError, match="cannot be downloaded") as caught:
        zoo.fetch(name)
    assert "\n" not in str(caught.value)
    assert not zoo.local_path(name).exists()
    assert zoo.fetch(name).read_bytes() == server.files[f"/{path}"].content


def test_truncated_sentencepiece_models_are_detected(tmp_path):
    content = spm()
    path = tmp_path / "words.spm"
    path.write_bytes(content)
    _check_sentencepiece(path)
    for end in (*range(20), *range(20, len(content), len(content) // 50), len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(UserError, match="is not a complete SentencePiece model"):
            _check_sentencepiece(path)
