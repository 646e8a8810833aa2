"""Panoptic COCO files that do not fit the config, the images or the PNGs."""

import copy
import json

import pytest
from PIL import Image

from mmbeit3.datasets.checks import check_data
from mmbeit3.errors import UserError
from tests.datasets.checks.made import first, one_line


def test_panoptic_files(tmp_path):
    """tests/datasets/test_shapes.py tests a valid file."""
    from mmbeit3.datasets.shapes import STUFF_CLASSES, THING_CLASSES, make_shapes_dataset

    folder = make_shapes_dataset(tmp_path / "shapes", train=2, val=1, size=64)
    path = folder / "annotations" / "panoptic_train2017.json"
    content = json.loads(path.read_text())
    classes = THING_CLASSES + STUFF_CLASSES
    dataset = {
        "type": "CocoPanopticDataset",
        "data_root": str(folder),
        "ann_file": "annotations/panoptic_train2017.json",
        "data_prefix": {"img": "train2017/", "seg": "annotations/panoptic_train2017/"},
        "metainfo": {"classes": classes, "thing_classes": THING_CLASSES, "stuff_classes": STUFF_CLASSES},
        "pipeline": [{"type": "LoadImageFromFile"}],
    }
    head = {"num_things_classes": len(THING_CLASSES), "num_stuff_classes": len(STUFF_CLASSES)}
    cfg = {"default_scope": "mmdet", "train_dataloader": {"dataset": dataset}, "model": {"panoptic_head": head}}

    def refused(change, reason):
        broken = copy.deepcopy(content)
        change(broken)
        path.write_text(json.dumps(broken))
        with pytest.raises(UserError, match=reason) as error:
            check_data(cfg, ("train",))
        one_line(error)

    check_data(cfg, ("train",))
    segments = "segments_info"
    refused(lambda c: c["categories"].reverse(), "mmdet numbers labels")
    refused(lambda c: c["categories"][0].update(isthing=0), "is stuff in .*, but class 0 of .*, which has 6 things, is a thing")
    refused(lambda c: c["categories"][0].pop("isthing"), "has no 'isthing'")
    refused(lambda c: c["annotations"].pop(), r"has no panoptic annotation \(1 images have none\)")
    refused(lambda c: first(c)[segments][0].update(category_id=99), "category_id 99")
    refused(lambda c: first(c)[segments][0].pop("area"), "has no 'area'")
    refused(lambda c: first(c)[segments][0].update(id=first(c)[segments][1]["id"]), "2 segments of image")
    refused(lambda c: first(c)[segments][0].update(id=0), "segment id 0 of image .* is not a colour: use 1 to 16777215")
    refused(lambda c: first(c)[segments][0].update(id="a"), 'is "a": write an integer')
    refused(lambda c: first(c).update(file_name="other.png"), "is 'other.png' in .*, but mmdet reads")
    path.write_text(json.dumps(content))
    png = folder / "annotations" / "panoptic_train2017" / first(content)["file_name"]
    Image.open(png).resize((32, 32)).save(png)
    with pytest.raises(UserError, match=r"panoptic PNG .* is 32 x 32 pixels .* but its image is 64 x 64"):
        check_data(cfg, ("train",))
    png.unlink()
    with pytest.raises(UserError, match=r"does not exist \(1 of 2 are missing\)"):
        check_data(cfg, ("train",))
