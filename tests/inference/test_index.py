"""Exact search against brute force, and saved index files."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

import mmbeit3.inference.index as module
from mmbeit3.errors import UserError
from mmbeit3.inference.index import ImageIndex, fingerprint


def vectors(count, seed, width=24):
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=-1)


def make(count=300):
    return ImageIndex(vectors(count, 1), tuple(f"folder/{i}.jpg" for i in range(count)), "abc")


@pytest.mark.parametrize("most", [1, 700, 1 << 26])
def test_search_is_exact(most, monkeypatch):
    monkeypatch.setattr(module, "_MAX_SCORES", most)
    index, queries = make(), vectors(7, 2)
    scores, rows = index.search(queries, 10)
    assert scores.shape == rows.shape == (7, 10)
    for query, found, which in zip(queries.double().numpy(), scores.numpy(), rows.numpy(), strict=True):
        cosines = index.features.double().numpy() @ query
        order = np.argsort(-cosines)[:10]
        assert which.tolist() == order.tolist()
        np.testing.assert_allclose(found, cosines[order], atol=1e-6)


def test_fewer_images_than_wanted():
    scores, rows = make(3).search(vectors(2, 2), 10)
    assert rows.sort(dim=1).values.tolist() == [[0, 1, 2]] * 2
    assert (scores.diff(dim=1) <= 0).all()
    with pytest.raises(UserError, match="top_k must be at least 1, got 0"):
        make(3).search(vectors(1, 2), 0)


def test_round_trip(tmp_path):
    names = ("a.jpg", 'b "quoted" \\ ü 山.png', "undecodable \udcff.jpg")
    index = ImageIndex(vectors(5, 1)[1:4], names, "abc")
    path = tmp_path / "deep" / "index.safetensors"
    index.save(path)
    found = ImageIndex.load(path, "abc")
    assert torch.equal(found.features, index.features)
    assert found.names == names
    assert [file.name for file in path.parent.iterdir()] == ["index.safetensors"]


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "index.safetensors"
    make(3).save(path)
    before = path.read_bytes()

    def fail(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", fail)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        make(4).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    monkeypatch.undo()
    inode = path.stat().st_ino
    make(4).save(path)
    assert path.stat().st_ino != inode, "written in place"


def test_files_that_do_not_do(tmp_path, monkeypatch):
    path = tmp_path / "index.safetensors"
    with pytest.raises(UserError, match=r"index.safetensors' does not exist: make it with index\(\)"):
        ImageIndex.load(path, "abc")
    make().save(path)
    with pytest.raises(UserError, match="was made with other weights: load those weights, or index the images again"):
        ImageIndex.load(path, "abd")
    whole = path.read_bytes()
    for content in (b"", b"no index at all", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is damaged or not an index") as caught:
            ImageIndex.load(path, "abc")
        assert "\n" not in str(caught.value)
    save_file({"features": vectors(2, 1)}, path)
    with pytest.raises(UserError, match="is not an image index"):
        ImageIndex.load(path, "abc")
    monkeypatch.setattr(module, "_MAX_HEADER_BYTES", 4000)
    with pytest.raises(UserError, match="300 image names are too many for one file"):
        make().save(tmp_path / "large")


def test_fingerprints_tell_weights_apart():
    def network(seed):
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))

    first = fingerprint(network(0))
    assert fingerprint(network(0)) == first
    assert len({first, fingerprint(network(1)), fingerprint(network(0)[0]), fingerprint(network(0).bfloat16())}) == 4
    assert len(first) == 64
