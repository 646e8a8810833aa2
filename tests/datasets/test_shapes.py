import hashlib
import json

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmseg.datasets import BaseSegDataset
from pycocotools.coco import COCO

from mmbeit3.datasets.shapes import STUFF_CLASSES, THING_CLASSES, make_shapes_dataset
from mmbeit3.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_shapes_dataset(tmp_path_factory.mktemp("data") / "shapes", train=12, val=8, size=96)


def digest(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_deterministic_and_kept(folder, tmp_path):
    again = make_shapes_dataset(tmp_path / "again", train=12, val=8, size=96)
    assert digest(again) == digest(folder)
    assert make_shapes_dataset(again, train=12, val=8, size=96) == again
    with pytest.raises(UserError, match="--force"):
        make_shapes_dataset(again, train=12, val=8, size=96, seed=1)
    other = make_shapes_dataset(again, train=12, val=8, size=96, seed=1, force=True)
    assert digest(other) != digest(folder)
    (other / "shapes.json").write_text("{")
    assert digest(make_shapes_dataset(other, train=12, val=8, size=96, force=True)) == digest(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("mine")
    with pytest.raises(UserError, match="not a shapes dataset"):
        make_shapes_dataset(tmp_path / "photos", force=True)
    assert (tmp_path / "photos" / "holiday.jpg").exists()


def test_plain_scenes_are_grey_behind(tmp_path, folder):
    plain = make_shapes_dataset(tmp_path / "plain", train=2, val=1, size=96, style="plain")
    for name, most in ((plain, 12), (folder, 1000)):
        image = cv2.imread(str(name / "train2017" / "000000000001.jpg")).astype(int)
        labels = cv2.imread(str(name / "ade" / "annotations" / "training" / "000000000001.png"), cv2.IMREAD_UNCHANGED)
        # Away from things, whose colours JPEG carries over their edges.
        behind = cv2.erode(np.isin(labels, (1, 2, 3)).astype(np.uint8), np.ones((19, 19))) > 0
        colourfulness = np.median(np.ptp(image[behind], axis=1))
        assert colourfulness <= most
    assert colourfulness > 12
    with pytest.raises(UserError, match="other arguments"):
        make_shapes_dataset(plain, train=2, val=1, size=96)
    with pytest.raises(UserError, match="busy, plain"):
        make_shapes_dataset(tmp_path / "other", style="fancy")


def test_an_older_versions_dataset_is_brought_up_to_date(folder, tmp_path):
    old = make_shapes_dataset(tmp_path / "shapes", train=12, val=8, size=96)
    meta = json.loads((old / "shapes.json").read_text())
    (old / "shapes.json").write_text(json.dumps({**meta, "version": 1}))
    (old / "texts_train.txt").unlink()
    assert digest(make_shapes_dataset(old, train=12, val=8, size=96)) == digest(folder)


def test_sentences_say_what_is_there(folder):
    lines = [json.loads(line) for line in (folder / "pairs_train.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    content = json.loads((folder / "annotations" / "panoptic_train2017.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    for image, annotation, line in zip(content["images"], content["annotations"], lines, strict=True):
        assert line["image"] == f"train2017/{image['file_name']}"
        assert (folder / line["image"]).is_file()
        there = {names[segment["category_id"]] for segment in annotation["segments_info"]}
        said = {name for name in names.values() if name in line["text"]}
        # What is behind may be covered wholly, and is named all the same.
        assert there <= said <= there | set(STUFF_CLASSES)
        if any(segment["iscrowd"] for segment in annotation["segments_info"]):
            assert "many circles" in line["text"]
    texts = (folder / "texts_train.txt").read_text().splitlines()
    asked = [entry["question"] for entry in json.loads((folder / "vqa/questions_train2017.json").read_text())["questions"]]
    stated = [json.loads(line)["sentence"] for line in (folder / "nlvr2/train.json").read_text().splitlines()]
    assert texts[5 * 12 :] == asked + stated
    assert len(set(texts[: 5 * 12])) > 30


@pytest.mark.parametrize("bad", [{"train": 0}, {"val": 0}, {"size": 63}, {"seed": -1}])
def test_arguments_out_of_range(tmp_path, bad):
    with pytest.raises(UserError, match=f"{next(iter(bad))} (is )?{next(iter(bad.values()))}"):
        make_shapes_dataset(tmp_path / "shapes", **bad)
    assert not (tmp_path / "shapes").exists()


def test_without_hard_links(folder, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no hard links here")

    monkeypatch.setattr("os.link", refuse)
    assert digest(make_shapes_dataset(tmp_path / "shapes", train=12, val=8, size=96)) == digest(folder)


def test_annotations_agree_with_each_other(folder):
    coco = COCO(folder / "annotations" / "instances_train2017.json")
    panoptic = json.loads((folder / "annotations" / "panoptic_train2017.json").read_text())
    assert any(a["iscrowd"] for a in coco.anns.values())
    for image, entry in zip(coco.imgs.values(), panoptic["annotations"], strict=True):
        name = image["file_name"].replace(".jpg", ".png")
        colours = cv2.imread(str(folder / "annotations" / "panoptic_train2017" / name)).astype(int)[..., ::-1]
        ids = colours @ [1, 256, 65536]
        labels = cv2.imread(str(folder / "ade" / "annotations" / "training" / name), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(ids)) == {s["id"] for s in entry["segments_info"]}
        assert labels.min() >= 1
        segments = [s for s in entry["segments_info"] if s["category_id"] < 100]
        for annotation, segment in zip(coco.imgToAnns[image["id"]], segments, strict=True):
            visible = ids == segment["id"]
            mask = coco.annToMask(annotation).astype(bool)
            assert (mask & visible).sum() / (mask | visible).sum() > 0.99
            assert annotation["area"] == segment["area"] == visible.sum()
            x, y, w, h = annotation["bbox"]
            rows, columns = np.nonzero(visible)
            assert (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1) == (x, y, w, h)
            label = THING_CLASSES.index(coco.cats[annotation["category_id"]]["name"]) + 1 + len(STUFF_CLASSES)
            assert set(np.unique(labels[visible])) == {label}


def test_read_by_mmdet_and_mmseg(folder):
    detection = CocoDataset(
        data_root=str(folder),
        ann_file="annotations/instances_train2017.json",
        data_prefix={"img": "train2017/"},
        metainfo={"classes": THING_CLASSES},
        pipeline=[],
    )
    assert len(detection) == 12
    assert {i["bbox_label"] for d in detection for i in d["instances"]} <= set(range(6))
    panoptic = CocoPanopticDataset(
        data_root=str(folder),
        ann_file="annotations/panoptic_train2017.json",
        data_prefix={"img": "train2017/", "seg": "annotations/panoptic_train2017/"},
        metainfo={"classes": THING_CLASSES + STUFF_CLASSES, "thing_classes": THING_CLASSES, "stuff_classes": STUFF_CLASSES},
        pipeline=[],
    )
    assert len(panoptic) == 12
    semantic = BaseSegDataset(
        data_root=str(folder / "ade"),
        data_prefix={"img_path": "images/training", "seg_map_path": "annotations/training"},
        metainfo={"classes": STUFF_CLASSES + THING_CLASSES},
        reduce_zero_label=True,
    )
    assert len(semantic) == 12
