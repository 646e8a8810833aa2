"""Predictions of many images in a folder: files, continuation, videos."""

import csv
import json

import cv2
import numpy as np
import pytest

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

from mmbeit3 import load_model
from mmbeit3.errors import UserError
from mmbeit3.images import read_image
from mmbeit3.inference.saving import RECORD, predict_to_folder
from tests.inference.dense import write_images, write_model

SETTINGS = {"model": "tiny"}
SCORE = 0.2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saving")
    write_images(folder / "photos", [(64, 80), (48, 96)])
    write_images(folder / "photos" / "deep", [(30, 40)], seed=1)
    return folder


@pytest.fixture(scope="module")
def detector(folder):
    return load_model(*write_model("detector", folder / "detector"), "cpu")


@pytest.fixture(scope="module")
def segmentor(folder):
    return load_model(*write_model("segmentor", folder / "segmentor"), "cpu")


def test_files_of_a_detector(detector, folder, tmp_path):
    done = predict_to_folder(detector, folder / "photos", tmp_path, SETTINGS, batch_size=2, score=SCORE)
    paths = [str(folder / "photos" / name) for name in ("0.png", "1.png", "deep/0.png")]
    results = [detector.predict(path, score=SCORE) for path in paths]
    assert (done.images, done.earlier, done.unreadable) == (3, 0, {})
    assert sum(done.counts.values()) == sum(map(len, results)) > 3
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert [image["file_name"] for image in content["images"]] == paths
    assert [category["name"] for category in content["categories"]] == list(detector.classes)
    for image, result in zip(content["images"], results, strict=True):
        found = [one for one in content["annotations"] if one["image_id"] == image["id"]]
        expected = result.to_coco(image["id"])
        assert [one["category_id"] for one in found] == [one["category_id"] for one in expected]
        np.testing.assert_allclose([one["bbox"] for one in found], [one["bbox"] for one in expected], atol=1e-3)
        assert (image["height"], image["width"]) == result.size
    assert len({one["id"] for one in content["annotations"]}) == len(content["annotations"])
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert len(rows) == len(content["annotations"])
    assert rows[0]["class"] in detector.classes
    assert float(rows[0]["x2"]) - float(rows[0]["x1"]) == pytest.approx(content["annotations"][0]["bbox"][2], abs=0.02)
    assert np.array_equal(read_image(tmp_path / "pictures" / "deep" / "0.png")[..., ::-1], results[2].draw())
    # pycocotools reads the file as ground truth.
    coco = pytest.importorskip("pycocotools.coco").COCO(str(tmp_path / "predictions.json"))
    assert coco.annToMask(coco.loadAnns([1])[0]).sum() == content["annotations"][0]["area"]


def test_label_images(segmentor, folder, tmp_path):
    write_images(tmp_path / "in", [(40, 60)])
    read = read_image(tmp_path / "in" / "0.png")
    cv2.imwrite(str(tmp_path / "in" / "0.jpg"), read)
    done = predict_to_folder(segmentor, tmp_path / "in", tmp_path / "out", SETTINGS, pictures=False)
    assert done.images == 2
    assert not (tmp_path / "out" / "pictures").exists()
    labels = {path.name: cv2.imread(str(path), -1) for path in (tmp_path / "out" / "labels").iterdir()}
    # The second image of the same stem gets a longer name.
    assert sorted(labels) == ["0.png", "0.png.png"]
    assert np.array_equal(labels["0.png.png"], segmentor.predict(read).labels)


def test_an_interrupted_run_continues(detector, folder, tmp_path, monkeypatch):
    kind = type(detector)
    stream = kind.stream

    def interrupted(self, *arguments, **options):
        yield next(stream(self, *arguments, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "stream", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict_to_folder(detector, folder / "photos", tmp_path, SETTINGS, score=SCORE)
    assert not (tmp_path / "predictions.json").exists()
    with (tmp_path / RECORD).open("a") as file:
        file.write('{"image": "cut o')
    asked = []

    def recorded(self, images, **options):
        asked.extend(images)
        return stream(self, images, **options)

    monkeypatch.setattr(kind, "stream", recorded)
    done = predict_to_folder(detector, folder / "photos", tmp_path, SETTINGS, score=SCORE)
    assert (done.images, done.earlier, len(asked)) == (3, 1, 2)
    whole = predict_to_folder(detector, folder / "photos", tmp_path / "new", SETTINGS, score=SCORE)
    assert done.counts == whole.counts
    assert (tmp_path / "predictions.json").read_text() == (tmp_path / "new" / "predictions.json").read_text()
    asked.clear()
    again = predict_to_folder(detector, folder / "photos", tmp_path, SETTINGS, score=SCORE)
    assert (again.images, again.earlier, asked) == (3, 3, [])
    for settings, score in (({"model": "other"}, SCORE), (SETTINGS, 0.9)):
        with pytest.raises(UserError, match="has the results of another model or other settings"):
            predict_to_folder(detector, folder / "photos", tmp_path, settings, score=score)


def test_videos(detector, tmp_path):
    path = tmp_path / "in.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (81, 64))
    for shade in (0, 100, 200):
        writer.write(np.full((64, 81, 3), shade, np.uint8))
    writer.release()
    for _ in range(2):  # a video starts again from the beginning
        done = predict_to_folder(detector, path, tmp_path / "out", SETTINGS, score=0.15)
        assert (done.images, done.earlier) == (3, 0)
    capture = cv2.VideoCapture(str(done.files["video"]))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (3, 10)
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [image["frame"] for image in content["images"]] == [0, 1, 2]
    assert {row["frame"] for row in csv.DictReader((tmp_path / "out" / "predictions.csv").open())} <= {"0", "1", "2"}
    assert sum(done.counts.values()) == len(content["annotations"]) > 0


def test_refused(detector, folder):
    with pytest.raises(UserError, match="is inside of the image folder"):
        predict_to_folder(detector, folder / "photos", folder / "photos" / "out", SETTINGS)
