"""Checks of a whole config's data before the model is built."""

import json

import pytest
from mmdet.datasets import CocoDataset

from mmbeit3.datasets.checks import check_data
from mmbeit3.datasets.shapes import THING_CLASSES, make_shapes_dataset
from mmbeit3.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_shapes_dataset(tmp_path_factory.mktemp("checks") / "shapes", train=3, val=1, size=96)


def loader(folder, **changes):
    dataset = {
        "type": "CocoDataset",
        "data_root": str(folder),
        "ann_file": "annotations/instances_train2017.json",
        "data_prefix": {"img": "train2017/"},
        "metainfo": {"classes": THING_CLASSES},
        **changes,
    }
    return {
        "default_scope": "mmdet",
        "train_dataloader": {"dataset": {"type": "RepeatDataset", "times": 2, "dataset": dataset}},
    }


def test_data_that_fits(folder):
    check_data(loader(folder))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data_root": "/no/such/folder"}, "data folder '/no/such/folder' does not exist"),
        ({"data_prefix": {"img": "images/"}}, r"images' \(data_prefix.img\) does not exist"),
        ({"data_prefix": "pictures"}, r"pictures' \(data_prefix\) does not exist"),
        ({"type": "mmpretrain.ImageNet", "ann_file": "", "split": "val"}, r"val', which should have one folder per class"),
        ({"ann_file": "annotations/none.json"}, r"none\.json' does not exist"),
        ({"metainfo": {"classes": THING_CLASSES[1:]}}, "annotations of circle, which are not in the config's classes"),
        ({"metainfo": {"classes": (*THING_CLASSES, "hexagon")}}, "classes hexagon are not among"),
        ({"metainfo": {}}, "which are not in the config's classes"),
        ({"ann_file": "shapes.json"}, "not a COCO annotation file"),
    ],
)
def test_data_that_does_not_fit(folder, changes, reason):
    with pytest.raises(UserError, match=reason) as error:
        check_data(loader(folder, **changes))
    assert str(error.value).startswith("train_dataloader") or "not a COCO" in reason
    assert "\n" not in str(error.value)


def test_encoded_masks_need_an_option(folder, tmp_path):
    """mmdet would drop such objects without a message."""
    content = json.loads((folder / "annotations" / "instances_train2017.json").read_text())
    content["annotations"][0].update(segmentation={"size": [96, 96], "counts": [96 * 96]}, iscrowd=0)
    (tmp_path / "encoded.json").write_text(json.dumps(content))
    pipeline = [{"type": "LoadAnnotations", "with_mask": True}]
    check_data(loader(folder, ann_file=str(tmp_path / "encoded.json"), pipeline=pipeline))
    pipeline[0]["poly2mask"] = False
    check_data(loader(folder, pipeline=pipeline))
    with pytest.raises(UserError, match="has 1 RLE masks, which LoadAnnotations with poly2mask=False ignores"):
        check_data(loader(folder, ann_file=str(tmp_path / "encoded.json"), pipeline=pipeline))


def test_classes_from_a_file(folder, tmp_path):
    names = tmp_path / "classes.txt"
    names.write_text("\n".join(THING_CLASSES))
    check_data(loader(folder, metainfo={"classes": str(names)}))
    with pytest.raises(UserError, match=r"metainfo.classes is 'circle', which is not a file: .* \('circle',\)"):
        check_data(loader(folder, metainfo={"classes": "circle"}))


def test_dataset_given_as_a_class(folder):
    check_data(loader(folder, type=CocoDataset))
    with pytest.raises(UserError, match="which are not in the config's classes"):
        check_data(loader(folder, type=CocoDataset, metainfo={}))


def test_what_lies_on_a_network_is_not_looked_for(folder):
    check_data(loader(folder, data_root="s3://bucket/coco"))


@pytest.mark.parametrize("key", ["ann_file", "seg_prefix"])
def test_ground_truth_of_scores_is_there(folder, key):
    truth = str(folder / "annotations" / "instances_train2017.json")
    cfg = loader(folder) | {"train_evaluator": [{"type": "CocoMetric", "ann_file": truth}]}
    check_data(cfg)
    cfg["train_evaluator"].append({"type": "CocoMetric", key: "data/none"})
    with pytest.raises(UserError, match=rf"train_evaluator: 'data/none' \({key}\) does not exist"):
        check_data(cfg)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ({"roi_head": {"bbox_head": [{"num_classes": 6}, {"num_classes": 7}]}}, r"model.roi_head.bbox_head\[1\]"),
        ({"decode_head": {"num_classes": 7}}, "model.decode_head"),
        ({"panoptic_head": {"num_things_classes": 5, "num_stuff_classes": 2}}, "model.panoptic_head"),
    ],
)
def test_heads_are_made_for_the_classes(folder, head, name):
    with pytest.raises(UserError, match=f"train_dataloader has 6 classes, but {name} has 7: set its num_.* to 6"):
        check_data(loader(folder) | {"model": head})
    check_data(loader(folder) | {"model": {"panoptic_head": {"num_things_classes": 6, "num_stuff_classes": 0}}})


def test_mask2former_on_windows_of_padded_images():
    """mmseg's head resizes the masks of a window to the size of the whole padded image."""
    model = {
        "type": "EncoderDecoder",
        "decode_head": {"type": "Mask2FormerHead"},
        "data_preprocessor": {"test_cfg": {"size_divisor": 32}},
        "test_cfg": {"mode": "slide", "crop_size": (64, 64), "stride": (32, 32)},
    }
    with pytest.raises(UserError, match=r"does not support both; set model.data_preprocessor.test_cfg=None, or mode='whole'"):
        check_data({"model": model})
    check_data({"model": {**model, "test_cfg": {"mode": "whole"}}})
    check_data({"model": {**model, "data_preprocessor": {"test_cfg": None}}})
    check_data({"model": {**model, "decode_head": {"type": "UPerHead"}}})
