"""Records in WebDataset's tar shards."""

import json
import pickle

import numpy as np
import pytest

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data import RecordSource, TarShards, open_records
from tests.pretrain.data.example_records import encoded, member_pair, numbers, picture, write_tar


def test_images_in_shards(tmp_path):
    """Suffixes of all formats in lower or upper case; the metadata files of macOS are not records."""
    pytest.importorskip("webdataset")
    members = [
        ("a.PNG", encoded(3)),
        ("./._a.png", b"macOS's"),
        ("b.tif", encoded(3, ".tif")),
        ("deep/c.bmp", encoded(3, ".bmp")),
    ]
    write_tar(tmp_path / "a.tar", members)
    records = list(RecordSource(TarShards(tmp_path / "a.tar", "images"), shuffle=False))
    assert [record["key"] for record in records] == ["a", "b", "deep/c"]
    for record in records:
        np.testing.assert_array_equal(record["image"], picture(3))


def test_pairs_in_tars(tmp_path):
    value = json.dumps({"caption": "text 1"}).encode()
    write_tar(tmp_path / "a.tar.gz", [*member_pair(0), ("sub/001.JPG", encoded(1, ".jpg")), ("sub/001.json", value)])
    write_tar(tmp_path / "b.tar", member_pair(2))
    records = open_records("pairs", str(tmp_path / "{a.tar.gz,b.tar}"))
    assert isinstance(records, TarShards)
    assert sorted(record["key"] for record in RecordSource(records)) == ["000", "002", "sub/001"]
    for record in RecordSource(records):
        index = int(record["text"].split()[1])
        np.testing.assert_allclose(record["image"].astype(int), picture(index), atol=12)
    (record, *_) = RecordSource(TarShards([tmp_path / "b.tar", tmp_path / "b.tar"], "images"))
    assert sorted(record) == ["image", "key"]


@pytest.mark.parametrize("name", ["a.tar", "a.{tar,tgz}", "{a,b}.tar.gz", "{a.tar,b.TAR}", "a-*.tar.xz"])
def test_names_of_shards(tmp_path, name):
    with pytest.raises(UserError, match="no tar shard"):
        open_records("texts", tmp_path / name)


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_other_members_are_never_looked_into(tmp_path):
    trap = pickle.dumps(Trap())
    members = [(f"000.{suffix}", trap) for suffix in ("pyd", "pkl", "pickle", "pth", "npy", "cls")]
    write_tar(tmp_path / "a.tar", [*member_pair(0), *members, ("../../up.txt", b"text 1"), ("__meta__", trap)])
    before = sorted(tmp_path.parent.rglob("*"))
    assert sorted(numbers(RecordSource(TarShards(tmp_path / "a.tar", "texts")))) == [0, 1]
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_member_that_is_there_twice(tmp_path, caplog):
    write_tar(tmp_path / "a.tar", [*member_pair(0), *member_pair(0)[1:], *member_pair(1)])
    assert sorted(numbers(RecordSource(TarShards(tmp_path / "a.tar", "pairs")))) == [0, 1]
    assert "duplicate file name" in caplog.text


def test_no_archive(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"this is no archive" * 100)
    with pytest.raises(UserError, match=r"'\(archive\)' of '.*a.tar': damaged archive"):
        list(RecordSource(TarShards(tmp_path / "a.tar", "texts"), max_errors=0))
