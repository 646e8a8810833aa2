import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoPanopticDataset
from PIL import Image
from pycocotools.coco import COCO

from mmbeit3.datasets.shapes import STUFF_CLASSES, THING_CLASSES, make_shapes_dataset
from mmbeit3.datasets.transforms import LoadImageOrFail, LoadPanopticAnnotations
from mmbeit3.errors import UserError
from tests.downloads.conftest import home, server  # noqa: F401
from tests.downloads.server import Served


def test_loads_as_mmcv(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    loaded = LoadImageOrFail()({"img_path": str(tmp_path / "a.png")})
    assert np.array_equal(loaded["img"], image)
    assert loaded["ori_shape"] == (9, 7)


@pytest.mark.parametrize("content", [b"", b"no image at all", None, b"cut"])
def test_a_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "broken.png"
    if content == b"cut":
        cv2.imwrite(str(path), np.zeros((40, 40, 3), np.uint8))
        content = path.read_bytes()[:20]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.png'.*(does not exist|damaged|empty)") as error:
        LoadImageOrFail()({"img_path": str(path)})
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def panoptic(tmp_path_factory):
    folder = make_shapes_dataset(tmp_path_factory.mktemp("data") / "shapes", train=12, val=1, size=96)
    classes = THING_CLASSES + STUFF_CLASSES
    dataset = CocoPanopticDataset(
        data_root=str(folder),
        ann_file="annotations/panoptic_train2017.json",
        data_prefix={"img": "train2017/", "seg": "annotations/panoptic_train2017/"},
        metainfo={"classes": classes, "thing_classes": THING_CLASSES, "stuff_classes": STUFF_CLASSES},
        pipeline=[],
    )
    return folder, dataset


def test_images_at_urls(server, home):  # noqa: F811
    pixels = np.full((4, 5, 3), 7, np.uint8)
    server.files["/a.png"] = Served(cv2.imencode(".png", pixels)[1].tobytes(), ["busy"])
    loaded = LoadImageOrFail().transform({"img_path": server.address("/a.png")})
    assert (loaded["img"] == pixels).all()
    with pytest.raises(UserError, match=r"/b.png' cannot be downloaded: status 404"):
        LoadImageOrFail().transform({"img_path": server.address("/b.png")})


def test_panoptic_annotations_agree_with_instances_and_semantic_labels(panoptic):
    folder, dataset = panoptic
    coco = COCO(folder / "annotations" / "instances_train2017.json")
    crowds = 0
    for index in range(len(dataset)):
        item = dataset.get_data_info(index)
        loaded = LoadPanopticAnnotations()({**item, "ori_shape": (96, 96)})
        annotations = coco.imgToAnns[item["img_id"]]
        things = [annotation for annotation in annotations if not annotation["iscrowd"]]
        crowds += len(annotations) - len(things)
        x, y, w, h = np.array([annotation["bbox"] for annotation in things], float).reshape(-1, 4).T
        assert np.allclose(loaded["gt_bboxes"].tensor, np.stack([x, y, x + w, y + h], axis=1))
        assert [THING_CLASSES[label] for label in loaded["gt_bboxes_labels"]] == [
            coco.cats[annotation["category_id"]]["name"] for annotation in things
        ]
        assert not loaded["gt_ignore_flags"].any()
        truth = [coco.annToMask(annotation) for annotation in things]
        assert all((a != b).mean() < 0.002 for a, b in zip(loaded["gt_masks"].masks, truth, strict=True))
        # The label files count stuff first, from 1.
        labels = cv2.imread(
            str(folder / "ade" / "annotations" / "training" / f"{item['img_id']:012d}.png"), cv2.IMREAD_UNCHANGED
        )
        order = [len(THING_CLASSES) + i for i in range(len(STUFF_CLASSES))] + list(range(len(THING_CLASSES)))
        assert np.array_equal(np.array(order)[labels - 1], loaded["gt_seg_map"])
    assert crowds


def test_panoptic_annotations_that_do_not_fit(panoptic, tmp_path):
    item = {**panoptic[1].get_data_info(0), "ori_shape": (96, 96)}
    with pytest.raises(UserError, match=r"is 96 x 96 pixels .* but its image is 95 x 96"):
        LoadPanopticAnnotations()({**item, "ori_shape": (96, 95)})
    with pytest.raises(UserError, match="no pixel of segment 5"):
        LoadPanopticAnnotations()({**item, "segments_info": [{"id": 5, "category": 0, "is_thing": True}]})
    with pytest.raises(UserError, match="does not exist"):
        LoadPanopticAnnotations()({**item, "seg_map_path": str(tmp_path / "none.png")})
    exif = Image.Exif()
    exif[0x0112] = 3
    colours = Image.open(item["seg_map_path"])
    cases = {
        "a.jpg": "is a JPEG file: write PNG",
        "b.png": r"has the mode L, but ids are colours",
        "c.png": "has an EXIF orientation",
    }
    for name, message in cases.items():
        (colours.convert("L") if name == "b.png" else colours).save(
            tmp_path / name, **({"exif": exif} if name == "c.png" else {})
        )
        with pytest.raises(UserError, match=message):
            LoadPanopticAnnotations()({**item, "seg_map_path": str(tmp_path / name)})
    cut = tmp_path / os.fsdecode(b"caf\xe9.png")
    cut.write_bytes(Path(item["seg_map_path"]).read_bytes()[:-300])
    with pytest.raises(UserError, match=r"caf\?.png' is damaged"):
        LoadPanopticAnnotations()({**item, "seg_map_path": str(cut)})
    assert "gt_masks" not in LoadPanopticAnnotations()({**item, "seg_map_path": None})
