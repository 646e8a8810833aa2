"""Results: conversions and files."""

import cv2
import numpy as np
import pytest

from mmbeit3.errors import UserError
from mmbeit3.images import write_image
from mmbeit3.inference.areas import Regions, Segment, Segments
from mmbeit3.inference.masks import crop_mask
from mmbeit3.inference.results import Objects

CLASSES = ("cat", "dog", "sky")
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
PIXELS = np.full((20, 30, 3), 128, np.uint8)
COMMON = {"path": None, "size": (20, 30), "classes": CLASSES, "colours": COLOURS, "pixels": PIXELS}


def full(left, top, right, bottom):
    mask = np.zeros((20, 30), bool)
    mask[top:bottom, left:right] = True
    return mask


def objects(**options):
    masks = (crop_mask(full(2, 3, 10, 9)), crop_mask(full(12, 0, 30, 20)))
    values = {
        "boxes": np.array([[2, 3, 10, 9], [12, 0, 30, 20]], np.float32),
        "scores": np.array([0.9, 0.5], np.float32),
        "labels": np.array([1, 0]),
        "masks": masks,
    }
    return Objects(**{**COMMON, **values, **options})


def regions(**options):
    labels = np.full((20, 30), 2, np.uint8)
    labels[:, :10] = 0
    labels[0, 0] = 255
    return Regions(**{**COMMON, "labels": labels, **options})


def segments(**options):
    ids = np.zeros((20, 30), np.int32)
    ids[:10], ids[10:, 5:9] = 1, 2
    return Segments(**{**COMMON, "ids": ids, "segments": (Segment(1, 2, False, 0.8), Segment(2, 0, True, 0.7)), **options})


def test_coco():
    first, second = objects().to_coco(image_id=7, category_ids=(10, 20, 30))
    assert {**first, "segmentation": None, "score": 0.9} == {
        "image_id": 7, "category_id": 20, "bbox": [2, 3, 8, 6], "score": 0.9, "segmentation": None, "area": 48,
    }  # fmt: skip
    assert first["score"] == pytest.approx(0.9)
    assert second["category_id"] == 10
    assert [one["category_id"] for one in objects().to_coco()] == [2, 1]
    assert "segmentation" not in objects(masks=None).to_coco()[0]
    coco_mask = pytest.importorskip("pycocotools.mask")
    for result, masks in (
        (objects(), [full(2, 3, 10, 9), full(12, 0, 30, 20)]),
        (regions(), [regions().labels == 2, regions().labels == 0]),
        (segments(), [full(0, 0, 30, 10), full(5, 10, 9, 20)]),
    ):
        for one, mask in zip(result.to_coco(), masks, strict=True):
            assert np.array_equal(coco_mask.decode(one["segmentation"]).astype(bool), mask)
            assert one["area"] == mask.sum()
            assert one["bbox"] == coco_mask.toBbox(one["segmentation"]).tolist()
    assert [one.get("score") for one in (*regions().to_coco(), *segments().to_coco())] == [None, None, 0.8, 0.7]
    with pytest.raises(UserError, match="1 category_ids for 3 classes"):
        objects().to_coco(category_ids=(1,))


def test_counts_and_shares():
    assert objects().counts() == {"dog": 1, "cat": 1}
    assert regions().counts() == {"sky": 1, "cat": 1}
    assert regions().shares() == {"sky": pytest.approx(2 / 3), "cat": pytest.approx(199 / 600)}
    assert segments().counts() == {"sky": 1, "cat": 1}
    assert len(objects()) == len(segments()) == 2
    assert objects().full_masks().sum((1, 2)).tolist() == [48, 360]
    assert objects(masks=()).full_masks().shape == (0, 20, 30)
    with pytest.raises(UserError, match="predicts no masks"):
        objects(masks=None).full_masks()


def test_supervision():
    pytest.importorskip("supervision")
    found = objects().to_supervision()
    assert found.data["class_name"].tolist() == ["dog", "cat"]
    assert np.array_equal(found.xyxy, objects().boxes)
    assert np.array_equal(found.mask, objects().full_masks())
    assert objects(masks=None).to_supervision().mask is None
    found = regions().to_supervision()
    assert found.class_id.tolist() == [2, 0]
    assert found.xyxy.tolist() == [[10, 0, 30, 20], [0, 0, 10, 20]]
    assert segments().to_supervision().confidence.tolist() == pytest.approx([0.8, 0.7])
    empty = objects(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0), labels=np.zeros(0, int), masks=())
    assert len(empty.to_supervision()) == 0


def test_supervision_is_optional(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "supervision", None)
    with pytest.raises(UserError, match=r"pip install 'mmbeit3\[supervision\]'"):
        objects().to_supervision()


def test_pictures_and_labels(tmp_path):
    path = tmp_path / "image.png"
    write_image(path, PIXELS)
    stored = {"path": str(path), "pixels": None}
    for result in (objects, regions, segments):
        picture = result().draw()
        assert (picture != 128).any()
        assert np.array_equal(result(**stored).draw(), picture)
        saved = result(**stored).save(tmp_path / "deep" / "drawn.png")
        assert np.array_equal(cv2.imread(str(saved))[..., ::-1], picture)
        with pytest.raises(UserError, match=r"image\.png"):
            result(**stored).save(path)
    assert np.array_equal(cv2.imread(str(regions().save_labels(tmp_path / "a.png")), -1), regions().labels)
    assert np.array_equal(cv2.imread(str(segments().save_labels(tmp_path / "b.png")), -1), segments().ids)
    with pytest.raises(UserError, match=r"image\.png' is the input file"):
        regions(**stored).save_labels(path)
    with pytest.raises(UserError, match=r"labels cannot be written to '.*c.jpg'"):
        regions().save_labels(tmp_path / "c.jpg")


def test_images_that_are_not_at_hand():
    with pytest.raises(UserError, match="the image of this result is not in memory"):
        objects(pixels=None).draw()
    with pytest.raises(UserError, match="the image has 30 x 10 pixels, but the result is for 30 x 20"):
        objects().draw(PIXELS[:10])
    assert np.array_equal(objects(pixels=None).draw(PIXELS), objects().draw())
