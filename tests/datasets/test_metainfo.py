"""Class names of a config, read without the data."""

import numpy as np
from mmdet.datasets import CocoDataset

from mmbeit3.datasets.metainfo import read_class_colours, read_metainfo
from mmbeit3.visualization.colours import class_colours


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


def test_colours_of_classes():
    coco = CocoDataset.METAINFO
    classes, colours = read_class_colours({"type": "mmdet.CocoDataset"}, None)
    assert classes == coco["classes"]
    assert colours.tolist() == [list(colour) for colour in coco["palette"]]
    # COCO's palette is not for other classes.
    own = {"type": "mmdet.CocoDataset", "metainfo": {"classes": ("cell", "nucleus")}}
    classes, colours = read_class_colours(own, None)
    assert classes == ("cell", "nucleus")
    assert np.array_equal(colours, class_colours(2))
    own["metainfo"]["palette"] = [(1, 2, 3)]
    assert read_class_colours(own, None)[1].tolist() == [[1, 2, 3], class_colours(2)[1].tolist()]
    own["metainfo"]["palette"] = "random"
    assert np.array_equal(read_class_colours(own, None)[1], class_colours(2))
    assert read_class_colours({"type": "mmseg.BaseSegDataset"}, None)[0] == ()
