"""Class names of a config, read without the data."""

from mmdet.datasets import CocoDataset

from mmbeit3.datasets.metainfo import read_metainfo


def test_of_mmdet_and_mmseg_by_their_scopes():
    assert read_metainfo({"type": "CocoDataset"}, "mmdet")["classes"][0] == "person"
    assert read_metainfo({"type": "ADE20KDataset"}, "mmseg")["classes"][0] == "wall"
    assert read_metainfo({"type": "mmdet.CocoDataset"}, "mmseg")["palette"] == CocoDataset.METAINFO["palette"]


def test_the_config_comes_first(tmp_path):
    meta = read_metainfo({"type": CocoDataset, "metainfo": {"classes": ("cat",)}}, None)
    assert meta["classes"] == ("cat",)
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    assert read_metainfo({"type": CocoDataset, "metainfo": {"classes": str(tmp_path / "names.txt")}}, None)["classes"] == [
        "cat",
        "dog",
    ]
