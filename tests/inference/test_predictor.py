"""Predictions of whole models: equal to those of mmdet and mmseg, whatever the batch and the form of the input."""

from copy import deepcopy

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

from mmdet.apis import inference_detector
from mmseg.apis import inference_model

from mmbeit3 import load_model
from mmbeit3.errors import UserError
from mmbeit3.images import read_image
from mmbeit3.images.decoding import EXIF_ORIENTATION
from mmbeit3.inference import Predictor, Regions, loading
from mmbeit3.inference.tiling import Tiling
from tests.inference.dense import GREY, write_images, write_model

SIZES = [(64, 80), (48, 96), (64, 80), (40, 30)]
SCORE = 0.2
"""Smallest score of random weights with a few objects above it in each image."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("predictor")


@pytest.fixture(scope="module")
def paths(folder):
    return write_images(folder / "images", SIZES)


@pytest.fixture(scope="module")
def files(folder):
    """Config and checkpoint of the detector."""
    return write_model("detector", folder)


@pytest.fixture(scope="module")
def detector(files):
    return load_model(*files, "cpu")


@pytest.fixture(scope="module")
def segmentor(folder):
    return load_model(*write_model("segmentor", folder), "cpu")


@pytest.fixture(scope="module")
def video(folder):
    path = folder / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (80, 64))
    for shade in range(0, 150, 50):
        writer.write(np.full((64, 80, 3), shade, np.uint8))
    writer.release()
    return str(path)


def same(found, expected):
    assert type(found) is type(expected)
    assert found.size == expected.size
    if isinstance(found, Regions):
        assert np.array_equal(found.labels, expected.labels)
        return
    assert len(found) == len(expected)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    assert np.array_equal(found.labels, expected.labels)


def test_objects_equal_those_of_mmdet(detector, paths):
    detector.model.cfg = detector.cfg
    count = 0
    for path in paths:
        found = detector.predict(path, score=SCORE)
        expected = inference_detector(detector.model, path).pred_instances
        order = torch.argsort(-expected.scores, stable=True)
        order = order[expected.scores[order] >= SCORE]
        count += len(order)
        np.testing.assert_allclose(found.scores, expected.scores[order], atol=1e-6)
        np.testing.assert_allclose(found.boxes, expected.bboxes[order], atol=1e-4)
        assert np.array_equal(found.labels, expected.labels[order])
        assert np.array_equal(found.full_masks(), expected.masks[order])
    assert 10 < count < 300


@pytest.mark.parametrize("loaded", ["grayscale", "color_ignore_orientation", "grayscale_ignore_orientation"])
def test_images_are_loaded_as_by_the_test_pipeline(folder, loaded):
    grey = loaded.startswith("grayscale")
    changes = {"test_dataloader.dataset.pipeline.0.color_type": loaded, **(GREY if grey else {})}
    model = load_model(*write_model("detector", folder / loaded, changes=changes), "cpu")
    model.model.cfg = model.cfg
    pixels = read_image(write_images(folder / loaded, [(64, 80)])[0])
    image = Image.fromarray(pixels[..., 0] if grey else pixels)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    path = folder / loaded / "rotated.jpg"
    image.save(path, exif=exif)
    found = model.predict(path, score=0.1)
    expected = inference_detector(model.model, str(path)).pred_instances
    expected = expected[expected.scores >= 0.1]
    assert found.size == ((64, 80) if loaded.endswith("orientation") else (80, 64))
    assert len(found) == len(expected) > 2
    np.testing.assert_allclose(found.scores, expected.scores.sort(descending=True).values, atol=1e-6)
    # Drawing reads the file again.
    assert np.array_equal(found.draw(), next(model.stream(path, score=0.1)).draw())
    opened = Image.open(path)
    same(model.predict(opened, score=0.1), found)
    assert opened.load()
    same(model.predict(opened, score=0.1), found)
    assert len(model.predict(path, tile=40, score=0.1)) > 2


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"color_type": "unchanged"}, "has color_type='unchanged': predictions support 'color' and 'grayscale'"),
        ({"imdecode_backend": "tifffile"}, "has imdecode_backend='tifffile': predictions support images of 8 bits only"),
        ({"type": "LoadMultiChannelImageFromFiles"}, "has LoadMultiChannelImageFromFiles: predictions support images of Load"),
    ],
)
def test_images_that_predictions_cannot_load(detector, step, words):
    cfg = deepcopy(detector.cfg)
    cfg.test_dataloader.dataset.pipeline[0].update(step)
    with pytest.raises(UserError, match=words):
        Predictor(detector.model, cfg)


def test_regions_equal_those_of_mmseg(segmentor, paths):
    segmentor.model.cfg = segmentor.cfg
    for path in paths:
        found = segmentor.predict(path)
        expected = inference_model(segmentor.model, path)
        assert np.array_equal(found.labels, expected.pred_sem_seg.data[0])
        assert found.labels.dtype == np.uint8
        assert sum(found.shares().values()) == pytest.approx(1)


def test_the_batch_size_changes_nothing(detector, segmentor, paths):
    for model in (detector, segmentor):
        alone = [model.predict(path, score=SCORE) for path in paths]
        for batch_size in (2, 10):
            for found, expected in zip(model.predict(paths, batch_size, score=SCORE), alone, strict=True):
                same(found, expected)
                assert found.path == expected.path
                assert found.pixels is None


def test_inputs_of_every_form(detector, paths, folder):
    expected = detector.predict(paths[0], score=SCORE)
    pixels = read_image(paths[0])
    for image in (pixels, Image.open(paths[0])):
        found = detector.predict(image, score=SCORE)
        same(found, expected)
        assert found.path is None
        assert np.array_equal(found.draw(), expected.draw())
    together = detector.predict([paths[0], pixels], score=SCORE)
    same(together[1], expected)
    assert [result.path for result in detector.predict(folder / "images", 3)] == paths
    assert np.array_equal(next(detector.stream(paths[0])).pixels, pixels)


def test_videos(detector, video):
    results = detector.predict(video, score=SCORE, batch_size=2)
    assert [result.frame for result in results] == list(range(3))
    with pytest.raises(UserError, match=r"frame 0 of '.*video.avi' is not in memory: call draw\(image\)"):
        results[0].draw()
    frames = [result.pixels for result in detector.stream(video, score=SCORE)]
    assert [int(frame.mean().round(-1)) for frame in frames] == [0, 50, 100]
    assert results[1].draw(frames[1]).shape[2] == 3
    same(detector.predict(frames[2], score=SCORE), results[2])


def test_tiles(detector, segmentor, folder):
    (path,) = write_images(folder / "large", [(100, 130)], seed=4)
    windows = Tiling(80, 20).windows((100, 130))
    pixels = read_image(path)
    found = detector.predict(path, tile=80, score=SCORE, batch_size=2)
    parts = [detector.predict(pixels[w.top : w.bottom, w.left : w.right], score=SCORE) for w in windows]
    candidates = {
        tuple(np.round(box + [w.left, w.top] * 2, 2))
        for part, w in zip(parts, windows, strict=True)
        for box in part.boxes.astype(float)
    }
    candidates |= {tuple(np.round(box, 2)) for box in detector.predict(path, score=SCORE).boxes.astype(float)}
    assert 0 < len(found) < len(candidates)
    near = np.array(sorted(candidates))
    assert all(np.abs(near - box).max(1).min() < 0.02 for box in found.boxes)
    assert all(mask.full((100, 130)).any() for mask in found.masks)
    # Logits are averaged where windows overlap.
    total, count = 0, np.zeros((100, 130))
    for w in windows:
        (logits,) = segmentor._forward([segmentor._pipeline(pixels[w.top : w.bottom, w.left : w.right])], 0.0)
        full = np.zeros((9, 100, 130))
        full[:, w.top : w.bottom, w.left : w.right] = logits.resized((w.bottom - w.top, w.right - w.left))
        total, count[w.top : w.bottom, w.left : w.right] = total + full, count[w.top : w.bottom, w.left : w.right] + 1
    labels = segmentor.predict(path, tile=80, batch_size=3).labels
    average = np.sort(total / count, 0)
    clear = average[-1] - average[-2] > 1e-5
    assert clear.mean() > 0.9
    assert np.array_equal(labels[clear], (total / count).argmax(0)[clear])
    small = segmentor.predict(pixels[:60, :70])
    same(segmentor.predict(pixels[:60, :70], tile=80), small)


def test_broken_images(detector, paths, folder, caplog):
    broken = folder / "mixed" / "b.png"
    write_images(folder / "mixed", SIZES[:1])
    broken.write_text("no image")
    with pytest.raises(UserError, match=r"image '.*b.png' is not an image"):
        detector.predict([paths[0], broken])
    assert len(detector.predict(folder / "mixed")) == 1
    errors = []
    assert len(detector.predict([paths[0], broken], on_error=lambda *pair: errors.append(pair))) == 1
    assert errors[0][0] == str(broken)
    (folder / "mixed" / "0.png").unlink()
    with pytest.raises(UserError, match="no image could be read"):
        detector.predict(folder / "mixed")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1, got 0"),
        ({"score": 1.5}, "score must be a number from 0 to 1, got 1.5"),
        ({"tile": 64, "overlap": 64}, "overlap must be a whole number from 0 to below the tile's 64 pixels"),
        ({"overlap": 10}, "overlap is for tiles: give tile"),
    ],
)
def test_options_that_make_no_sense(detector, paths, options, words):
    with pytest.raises(UserError, match=words):
        detector.predict(paths[0], **options)


def test_inputs_that_cannot_be_used(detector, folder, paths):
    (folder / "empty").mkdir()
    (folder / "broken.mp4").write_bytes(b"no video")
    for images, words in (
        ([], "the list of images is empty"),
        (folder / "empty", r"folder '.*empty' has no images"),
        (folder / "none.mp4", r"video '.*none.mp4' does not exist"),
        (folder / "broken.mp4", r"video '.*broken.mp4' cannot be read: it is damaged"),
        ([paths[0], folder / "broken.mp4"], "in the list is a folder or a video"),
        (3, "int is not an image"),
    ):
        with pytest.raises(UserError, match=words):
            detector.predict(images)


def test_models_and_checkpoints_that_do_not_fit(files, tmp_path):
    config, weights = files
    for arguments, words in (
        ((config,), "needs a checkpoint: give one, or give the work dir"),
        ((config, tmp_path), "is a folder: give a file such as"),
        ((tmp_path,), r"model folder '.*' has no config: give the work dir"),
        (
            ("beit3_base_patch16_22",),
            "is neither a config file, nor a folder with a model, nor in the zoo: the zoo has no",
        ),
        (("nothing.py", weights), "config 'nothing.py' does not exist"),
        (("mmbeit3::vqa/beit3-tiny_vqa_shapes.py", weights), "is of BEiT3VQA: use mmbeit3.inference.VQAInferencer"),
        ((config, weights, "cuda:99"), "device 'cuda:99' cannot be used"),
    ):
        with pytest.raises(UserError, match=words):
            load_model(*arguments)


def test_work_dirs(files, tmp_path, paths):
    config, weights = write_model("detector", tmp_path, seed=2)
    (tmp_path / "last_checkpoint").write_text("/elsewhere/epoch_2.pth")
    with pytest.raises(UserError, match=r"model folder '.*' has no weights"):
        load_model(tmp_path)
    # The folder was moved after the training.
    (tmp_path / "last_checkpoint").write_text("/elsewhere/detector-2.pth")
    same(load_model(tmp_path).predict(paths[0], score=0.1), load_model(config, weights).predict(paths[0], score=0.1))
    best = tmp_path / "best_coco_bbox_mAP_epoch_1.pth"
    best.symlink_to(files[1])
    assert loading.resolve_model(tmp_path)[1] == best
    (tmp_path / "second.py").write_text("")
    with pytest.raises(UserError, match="has several configs"):
        load_model(tmp_path)
