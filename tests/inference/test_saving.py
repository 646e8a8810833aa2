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
from mmbeit3.inference.record import RECORD
from mmbeit3.inference.saving import predict_to_folder
from tests.inference.dense import write_images, write_model

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
    done = predict_to_folder(detector, folder / "photos", tmp_path, batch_size=2, score=SCORE)
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
    done = predict_to_folder(segmentor, tmp_path / "in", tmp_path / "out", pictures=False)
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
        predict_to_folder(detector, folder / "photos", tmp_path, score=SCORE)
    assert not (tmp_path / "predictions.json").exists()
    with (tmp_path / RECORD).open("a") as file:
        file.write('{"image": "cut o')
    asked = []

    def recorded(self, images, **options):
        asked.extend(images)
        return stream(self, images, **options)

    monkeypatch.setattr(kind, "stream", recorded)
    done = predict_to_folder(detector, folder / "photos", tmp_path, score=SCORE)
    assert (done.images, done.earlier, len(asked)) == (3, 1, 2)
    whole = predict_to_folder(detector, folder / "photos", tmp_path / "new", score=SCORE)
    assert done.counts == whole.counts
    assert (tmp_path / "predictions.json").read_text() == (tmp_path / "new" / "predictions.json").read_text()
    asked.clear()
    again = predict_to_folder(detector, folder / "photos", tmp_path, score=SCORE)
    assert (again.images, again.earlier, asked) == (3, 3, [])


def test_only_the_same_call_continues(detector, folder, tmp_path):
    photos = write_images(tmp_path / "photos", [(40, 60), (48, 40)])
    with pytest.raises(UserError, match="score must be a number"):
        predict_to_folder(detector, tmp_path / "photos", tmp_path / "out", score=5)
    # Without a result, nothing can be mixed up.
    predict_to_folder(detector, tmp_path / "photos", tmp_path / "out", score=SCORE)
    trained_more = load_model(*write_model("detector", tmp_path, seed=1), "cpu")
    other_size = load_model(*write_model("detector", tmp_path / "other"), "cpu")
    other_size.cfg.test_dataloader.dataset.pipeline[1].scale = (32, 32)
    video = write_video(tmp_path / "in.avi")
    for model, images, score, words in (
        (trained_more, tmp_path / "photos", SCORE, "weights"),
        (other_size, tmp_path / "photos", SCORE, "config"),
        (detector, folder / "photos", SCORE, "images"),
        (detector, photos, SCORE, "images"),
        (detector, video, SCORE, "images"),
        (detector, tmp_path / "photos", 0.9, "score"),
    ):
        with pytest.raises(UserError, match=rf"has the results of another model or other settings \(different: {words}\)"):
            predict_to_folder(model, images, tmp_path / "out", score=score)
    before = (tmp_path / "out" / "predictions.csv").read_text()
    # An image that was replaced is predicted again, under its name.
    write_images(tmp_path / "photos", [(44, 60)], seed=3)
    same = load_model(*write_model("detector", tmp_path / "same"), "cpu")
    done = predict_to_folder(same, tmp_path / "photos", tmp_path / "out", score=SCORE)
    assert (done.images, done.earlier) == (2, 1)
    assert sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir()) == ["0.png", "1.png"]
    assert (tmp_path / "out" / "predictions.csv").read_text() != before
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())["images"][0]["height"] == 44


def test_images_of_one_name_keep_their_files(segmentor, tmp_path):
    paths = [write_images(tmp_path / name, [(40, 60)], seed)[0] for seed, name in enumerate("abc")]
    for images in (paths[0], paths[1:], [*paths, paths[0]]):
        done = predict_to_folder(segmentor, images, tmp_path / "out")
    assert (done.images, done.earlier) == (3, 3)
    rows = [json.loads(line) for line in (tmp_path / "out" / RECORD).read_text().splitlines()[1:]]
    assert [row["picture"] for row in rows] == ["pictures/0.png", "pictures/0-2.png", "pictures/0-3.png"]
    assert [row["labels"] for row in rows] == ["labels/0.png", "labels/0.png.png", "labels/0-2.png"]
    for row in rows:
        result = segmentor.predict(row["image"])
        assert np.array_equal(read_image(tmp_path / "out" / row["picture"])[..., ::-1], result.draw())
        assert np.array_equal(cv2.imread(str(tmp_path / "out" / row["labels"]), -1), result.labels)


@pytest.mark.parametrize("name", ["labels/0.png", "pictures/0.png", "predictions.json", "in.mp4"])
def test_files_of_the_user_stay(segmentor, tmp_path, name):
    kept = tmp_path / name
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("precious")
    images = write_video(tmp_path / "in.avi") if name == "in.mp4" else write_images(tmp_path / "photos", [(40, 60)])
    with pytest.raises(UserError, match=f"{name.split('/')[0]}' exists and is not of an earlier run"):
        predict_to_folder(segmentor, images, tmp_path)
    assert kept.read_text() == "precious"
    assert not (tmp_path / RECORD).exists()


def write_video(path, count=3):
    """Write frames of noise in the left part and one shade in the rest."""
    random = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*("mp4v" if path.suffix == ".mp4" else "MJPG")), 10, (81, 64))
    for number in range(count):
        frame = np.full((64, 81, 3), 80 * number, np.uint8)
        frame[:, : 27 * number] = random.integers(0, 256, (64, 27 * number, 3))
        writer.write(frame)
    writer.release()
    return path


def read_frames(path):
    capture = cv2.VideoCapture(str(path))
    while (read := capture.read())[0]:
        yield read[1][..., ::-1]


def test_videos(detector, tmp_path):
    path = write_video(tmp_path / "in.avi")
    for _ in range(2):  # a video starts again from the beginning
        done = predict_to_folder(detector, path, tmp_path / "out", score=0.15)
        assert (done.images, done.earlier) == (3, 0)
    capture = cv2.VideoCapture(str(done.files["video"]))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (3, 10)
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [image["frame"] for image in content["images"]] == [0, 1, 2]
    assert {row["frame"] for row in csv.DictReader((tmp_path / "out" / "predictions.csv").open())} <= {"0", "1", "2"}
    assert sum(done.counts.values()) == len(content["annotations"]) > 0
    with pytest.raises(UserError, match=r"different: images"):
        predict_to_folder(detector, write_images(tmp_path, [(40, 60)]), tmp_path / "out", score=0.15)


def test_the_source_video_is_kept(detector, tmp_path):
    path = write_video(tmp_path / "in.mp4")
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"in.mp4' is the input file and would be overwritten"):
        predict_to_folder(detector, path, tmp_path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]


def test_frames_are_not_stretched_and_have_their_legend(segmentor, tmp_path, monkeypatch):
    """The legend of a frame has more lines than that of the one before."""
    path = write_video(tmp_path / "in.avi")
    stream = type(segmentor).stream

    def changing(self, *arguments, **options):
        for number, result in enumerate(stream(self, *arguments, **options)):
            result.labels = np.arange(80, dtype=np.uint8)[None].repeat(64, 0) // (40 >> 2 * number)
            result.labels[result.labels > 8] = 8
            yield result

    monkeypatch.setattr(type(segmentor), "stream", changing)
    results = list(segmentor.stream(path))
    assert len({result.draw().shape for result in results}) > 1
    expected = [result.draw(legend_lines=3) for result in results]
    assert len({picture.shape for picture in expected}) == 1
    done = predict_to_folder(segmentor, path, tmp_path / "out")
    for frame, picture, result in zip(read_frames(done.files["video"]), expected, results, strict=True):
        height, width = picture.shape[:2]
        assert frame.shape == (height - height % 2, width - width % 2, 3)
        # Codecs are not exact.
        assert np.abs(frame.astype(int) - picture[: frame.shape[0], : frame.shape[1]]).mean() < 12
        # All classes of the frame are in the legend.
        legend = picture[5 * 64 :].reshape(-1, 3)
        assert {tuple(result.colours[label]) for label in np.unique(result.labels)} <= set(map(tuple, legend.tolist()))


def test_an_interrupted_video_leaves_the_old_one(detector, tmp_path, monkeypatch):
    path = write_video(tmp_path / "in.avi")
    target = predict_to_folder(detector, path, tmp_path / "out").files["video"]
    before = target.read_bytes()
    stream = type(detector).stream

    def interrupted(self, *arguments, **options):
        yield next(stream(self, *arguments, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(type(detector), "stream", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict_to_folder(detector, path, tmp_path / "out")
    assert target.read_bytes() == before
    assert not list((tmp_path / "out").glob(".*"))


def test_refused(detector, folder):
    with pytest.raises(UserError, match="is inside of the image folder"):
        predict_to_folder(detector, folder / "photos", folder / "photos" / "out")
