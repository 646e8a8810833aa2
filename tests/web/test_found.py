"""Tables and files of results, against results made by hand."""

import json

import cv2
import numpy as np
import pytest

from mmbeit3.inference.areas import Regions, Segment, Segments
from mmbeit3.inference.masks import Mask
from mmbeit3.inference.results import Objects
from mmbeit3.web.found import coco_file, label_file, make_table, shrink

COMMON = {
    "path": "a.png",
    "size": (10, 20),
    "classes": ("cat", "dog", "sky"),
    "colours": np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8),
}


def objects(masks=None):
    boxes = np.array([[1, 2, 5, 4], [0, 0, 10.4, 10], [3, 3, 4, 5]], np.float32)
    return Objects(
        boxes=boxes, scores=np.array([0.9, 0.8, 0.625], np.float32), labels=np.array([1, 0, 1]), masks=masks, **COMMON
    )


def test_table_of_boxes():
    table = make_table(objects())
    assert table.summary == "3 objects: 2 dog, 1 cat"
    assert table.headers[-1] == "Box area"
    assert table.rows == (
        ("dog", "0.90", "1, 2, 4 x 2", "8"),
        ("cat", "0.80", "0, 0, 10 x 10", "104"),
        ("dog", "0.62", "3, 3, 1 x 2", "2"),
    )
    assert table.colours == ((0, 255, 0), (255, 0, 0), (0, 255, 0))


def test_table_of_masks():
    masks = tuple(Mask(np.ones((2, width), bool), 0, 0) for width in (3, 4, 1))
    table = make_table(objects(masks))
    assert table.headers[-1] == "Mask area"
    assert [row[-1] for row in table.rows] == ["6", "8", "2"]


def test_nothing_found():
    empty = Objects(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), labels=np.zeros(0, np.int64), **COMMON)
    table = make_table(empty)
    assert table.rows == ()
    assert table.summary == "No object reaches the score threshold"
    assert coco_file(empty, "a") == ("a_results.json", b"[]")


def test_json_of_objects():
    name, content = coco_file(objects(), "photo")
    assert name == "photo_results.json"
    rows = json.loads(content)
    expected = objects().to_coco()
    assert [{key: row[key] for key in row if key != "category_name"} for row in rows] == expected
    assert [row["category_name"] for row in rows] == ["dog", "cat", "dog"]
    assert label_file(objects(), "photo") is None


def test_regions():
    labels = np.zeros((10, 20), np.uint8)
    labels[:, :5] = 2
    result = Regions(labels=labels, **COMMON)
    table = make_table(result)
    assert table.summary == "2 classes of 3"
    assert table.rows == (("cat", "75.0%"), ("sky", "25.0%"))
    assert table.colours == ((255, 0, 0), (0, 0, 255))
    name, content = label_file(result, "photo")
    assert name == "photo_labels.png"
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED), labels)


def test_a_small_share():
    labels = np.zeros((100, 100), np.uint8)
    labels[0, 0] = 1
    table = make_table(Regions(labels=labels, **{**COMMON, "size": (100, 100)}))
    assert table.rows == (("cat", "100.0%"), ("dog", "< 0.1%"))


def test_segments():
    ids = np.zeros((10, 20), np.int32)
    ids[:2], ids[5:] = 1, 300
    segments = (Segment(1, 0, True, 0.75), Segment(300, 2, False))
    result = Segments(ids=ids, segments=segments, **COMMON)
    table = make_table(result)
    assert table.summary == "2 segments: 1 cat, 1 sky"
    # Largest first.
    assert table.rows == (("sky", "region", "", "50.0%"), ("cat", "object", "0.75", "20.0%"))
    assert table.colours == ((0, 0, 255), (255, 0, 0))
    name, content = label_file(result, "photo")
    assert name == "photo_segments.png"
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED), ids)


@pytest.mark.parametrize(("size", "shrunk"), [((100, 1000), (32, 320)), ((640, 320), (320, 160)), ((20, 30), (20, 30))])
def test_large_pictures_become_smaller(size, shrunk):
    assert shrink(np.zeros((*size, 3), np.uint8), 320).shape == (*shrunk, 3)
