"""Layouts of folders."""

import pytest

from mmbeit3.datasets.layouts import ClassFolders, CocoFiles, ImagesOnly, LabelImages, find_layout
from mmbeit3.errors import UserError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("names", "train"),
    [
        (("train.json", "val.json", "images/a.jpg"), ("train.json", "images")),
        (("annotations/train.json", "annotations/val.json", "images/train/a.jpg"), ("annotations/train.json", "images/train")),
        (("annotations/instances_train2017.json", "train2017/a.jpg"), ("annotations/instances_train2017.json", "train2017")),
        (
            ("train/_annotations.coco.json", "train/a.jpg", "valid/_annotations.coco.json"),
            ("train/_annotations.coco.json", "train"),
        ),
        (("train.json", "a.jpg"), ("train.json", "")),
    ],
)
def test_coco(tmp_path, names, train):
    touch(tmp_path, *names)
    layout = find_layout(tmp_path)
    assert isinstance(layout, CocoFiles)
    assert layout.files["train"] == train
    assert layout.unsplit == ()


def test_labels(tmp_path):
    touch(tmp_path, "images/training/a.jpg", "annotations/training/a.png", "images/validation/b.jpg")
    layout = find_layout(tmp_path)
    assert isinstance(layout, LabelImages)
    assert layout.folders == {
        "train": ("images/training", "annotations/training"),
        "val": ("images/validation", "annotations/validation"),
    }


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("images/train/a.jpg", "labels/train/a.png", "images/val/b.jpg", "labels/val/b.png"), LabelImages),
        (("images/a.jpg", "annotations/a.png"), LabelImages),
        (("train/cat/a.jpg", "val/cat/b.jpg"), ClassFolders),
        (("images/a.jpg",), CocoFiles),
        (("images/a.jpg", "annotations/mine.json"), CocoFiles),
        (("train/2017/a.jpg",), CocoFiles),
    ],
)
def test_a_json_file_of_another_name(tmp_path, names, kind):
    touch(tmp_path, *names, "meta.json")
    assert isinstance(find_layout(tmp_path), kind)


def test_others(tmp_path):
    touch(tmp_path / "a", "train/cat/a.jpg", "val/cat/b.jpg")
    assert find_layout(tmp_path / "a") == ClassFolders(tmp_path / "a", {"train": "train", "val": "val"})
    touch(tmp_path / "b", "deep/down/a.jpg")
    assert find_layout(tmp_path / "b") == ImagesOnly(tmp_path / "b")
    touch(tmp_path / "c", "notes.txt")
    with pytest.raises(UserError, match="has no images and no annotations"):
        find_layout(tmp_path / "c")
    with pytest.raises(UserError, match="does not exist"):
        find_layout(tmp_path / "d")
