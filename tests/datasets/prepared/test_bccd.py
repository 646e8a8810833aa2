"""BCCD's conversion."""

import json

import pytest

from mmbeit3.datasets.prepared import bccd
from mmbeit3.datasets.prepared.sources import open_source
from mmbeit3.datasets.prepared.target import Target
from mmbeit3.errors import UserError
from tests.datasets.prepared.made import HEIGHT, WIDTH, voc, voc_xml, write_folder

CLASSES = ("RBC", "WBC", "Platelets")


def convert(tmp_path, files):
    write_folder(tmp_path / "copy", files)
    target = Target(tmp_path / "out")
    with open_source(tmp_path / "copy", bccd.WANTED.search) as source:
        notes = bccd.convert(source, bccd.find_root(source.names), target, CLASSES)
    return notes, [json.loads((target.root / f"{split}.json").read_text()) for split in ("train", "val")]


def test_boxes_and_lists(tmp_path):
    notes, (train, val) = convert(tmp_path, voc())
    assert notes == []
    assert [one["file_name"] for one in val["images"]] == ["BloodImage_00003.jpg", "BloodImage_00004.jpg"]
    assert train["categories"] == [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    assert {(one["width"], one["height"]) for one in train["images"]} == {(WIDTH, HEIGHT)}
    assert [one["id"] for one in train["annotations"]] == [*range(1, 7)]
    first, second = train["annotations"][:2]
    assert first == {"id": 1, "image_id": 1, "iscrowd": 0, "category_id": 2, "bbox": [5, 6, 20, 24], "area": 480}
    assert second["bbox"] == [1, 1, 8, 11]
    assert len(list((tmp_path / "out" / "images").iterdir())) == 5


def test_wrong_boxes_are_clipped_or_dropped(tmp_path):
    boxes = [
        ("RBC", 40, 30, WIDTH + 5, HEIGHT + 1),  # reaches beyond
        ("RBC", 20, 20, 10, 10),  # corners the wrong way round
        ("WBC", 5, 5, 5, 9),  # no width
        ("Platelets", 60, 50, 70, 60),  # outside
    ]
    notes, (train, _) = convert(tmp_path, voc(train=1, val=1, boxes=boxes))
    assert notes == [
        "2 boxes reached beyond their images and were clipped",
        "4 boxes had no area and were dropped",
    ]
    assert [one["bbox"] for one in train["annotations"]] == [[40, 30, 8, 6], [10, 10, 10, 10]]


def annotation(content):
    return {"BCCD_Dataset-1/BCCD/Annotations/BloodImage_00001.xml": content}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (voc_xml([("Cell", 1, 1, 2, 2)]), "class 'Cell', not one of RBC, WBC, Platelets"),
        (voc_xml([("RBC", "", 1, 2, 2)]), "not a valid VOC annotation"),
        (voc_xml([("RBC", "nan", 1, 2, 2)]), "not a valid VOC annotation"),
        (b"<annotation>", "not a valid VOC annotation"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "document type"),
    ],
)
def test_faulty_annotations(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        convert(tmp_path, voc() | annotation(content))


def test_missing_and_damaged_files(tmp_path):
    files = voc()
    image = "BCCD_Dataset-1/BCCD/JPEGImages/BloodImage_00002.jpg"
    with pytest.raises(UserError, match=r"BloodImage_00002.jpg.* the copy is incomplete"):
        convert(tmp_path / "a", {name: content for name, content in files.items() if name != image})
    with pytest.raises(UserError, match=r"BloodImage_00002.jpg.* the copy is damaged"):
        convert(tmp_path / "b", files | {image: b"no image"})
    listed = "BCCD_Dataset-1/BCCD/ImageSets/Main/val.txt"
    with pytest.raises(UserError, match=r"'images/../../evil.jpg' is not a file name inside"):
        convert(tmp_path / "c", files | {listed: b"../../evil"})


@pytest.mark.parametrize("top", ["", "a/", "a/BCCD/"])
def test_root(top):
    names = [f"{top}ImageSets/Main/train.txt", f"{top}deeper/ImageSets/Main/train.txt"]
    assert bccd.find_root(names) == top
    assert bccd.find_root([f"{top}OtherImageSets/Main/train.txt"]) is None
