"""The first hour of a new user: from a folder of thirty images to drawn predictions, by commands alone."""

import json

import cv2
import numpy as np
import pytest

from mmbeit3.datasets.shapes import make_shapes_dataset

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

COUNT = 30
# A few steps of training. The commands and files are those of a whole training.
FEW = ["recipe.image_size=64", "recipe.epochs=1", "train_dataloader.num_workers=0", "val_dataloader.num_workers=0"]
ALONE = ["train_dataloader.persistent_workers=False", "val_dataloader.persistent_workers=False"]
OPTIONS = ("--cfg-options", "recipe.data=data", *FEW, *ALONE)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return make_shapes_dataset(tmp_path_factory.mktemp("hour") / "shapes", train=COUNT, val=1, size=64)


@pytest.fixture
def play(run_tool, tmp_path, monkeypatch):
    """Run commands one after the other in an empty folder; returns what the last one printed."""
    monkeypatch.chdir(tmp_path)

    def run(*commands):
        for command in commands:
            code, output = run_tool(*command)
            assert (code, output.err) == (0, ""), f"{command}: {output.err}{output.out[-2000:]}"
        return output.out

    return run


def test_boxes_only(play, shapes, tmp_path):
    content = json.loads((shapes / "annotations" / "instances_train2017.json").read_text())
    for one in content["annotations"]:
        del one["segmentation"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "images").symlink_to(shapes / "train2017")
    (tmp_path / "data" / "annotations.json").write_text(json.dumps(content))
    text = play(
        ("prepare_data", "--split", "data"),
        ("prepare_data", "--check", "data"),
        ("train", "mmbeit3::mine/detection.py", "--work-dir", "model", *OPTIONS),
        ("predict", "model", "data/images", "--out", "found", "--score", "0.01", "--batch-size", "4"),
    )
    assert text.startswith(f"{COUNT} images in ")
    assert len(list((tmp_path / "found" / "pictures").iterdir())) == COUNT
    found = json.loads((tmp_path / "found" / "predictions.json").read_text())
    assert len(found["images"]) == COUNT
    assert [category["name"] for category in found["categories"]] == [one["name"] for one in content["categories"]]


def test_label_images(play, shapes, tmp_path):
    source = shapes / "ade"
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "labels").mkdir()
    for image in sorted((source / "images" / "training").iterdir()):
        (tmp_path / "data" / "images" / image.name).symlink_to(image)
        labels = source / "annotations" / "training" / f"{image.stem}.png"
        (tmp_path / "data" / "labels" / labels.name).symlink_to(labels)
    (tmp_path / "data" / "classes.txt").write_text("".join(f"class{number}\n" for number in range(1, 10)))
    play(
        ("prepare_data", "--split", "data"),
        ("prepare_data", "--check", "data"),
        ("train", "mmbeit3::mine/semantic.py", "--work-dir", "model", *OPTIONS),
        ("predict", "model", "data/images", "--out", "found", "--batch-size", "4"),
    )
    labels = sorted((tmp_path / "found" / "labels").iterdir())
    assert len(labels) == COUNT
    assert cv2.imread(str(labels[0]), -1).dtype == np.uint8
    assert cv2.imread(str(labels[0]), -1).max() < 9
