"""Ground truth and predictions side by side, of the tiny configs' data and with given predictions."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from PIL import Image

from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.errors import UserError
from mmbeit3.images import read_image
from mmbeit3.images.decoding import EXIF_ORIENTATION
from mmbeit3.inference import comparison
from mmbeit3.inference.areas import Regions, Segment, Segments
from mmbeit3.inference.comparison import compare_with_truth
from mmbeit3.inference.masks import crop_mask
from mmbeit3.inference.predictor import Predictor
from mmbeit3.inference.results import Objects
from tests.paths import ROOT

DETECTOR = ROOT / "configs" / "shapes" / "mask-rcnn_beit3-adapter-t_shapes.py"
SEGMENTOR = ROOT / "configs" / "shapes" / "beit3-adapter-t_mask2former_shapes.py"


@pytest.fixture
def compare(monkeypatch, tmp_path):
    """Compare with predictions that a function makes, without a model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    make_shapes_dataset("data/shapes", train=1, val=2, size=64)

    def comparing(config, predict, images=2, loaded="color", **options):
        def fixed(predictor, path, score):
            upright = predictor._pipeline.upright
            common = {"path": path, "upright": upright, "size": read_image(path, upright).shape[:2]}
            return predict({**common, "classes": predictor.classes, "colours": predictor.colours})

        monkeypatch.setattr(Predictor, "predict", fixed)
        cfg = Config.fromfile(config)
        cfg.test_dataloader.dataset.pipeline[0].color_type = loaded
        return list(compare_with_truth(torch.nn.Identity(), cfg, images, **options)), cfg

    return comparing


def colours_in(picture, cfg):
    """Return the colours of the classes that are in a picture."""
    palette = cfg.test_dataloader.dataset.metainfo.palette
    return {tuple(colour) for colour in palette if (picture == colour).all(2).any()}


def test_objects(compare):
    def predict(common):
        pixels = np.zeros(common["size"], bool)
        pixels[10:30, 20:50] = True
        masks = (crop_mask(pixels),)
        boxes, scores = np.array([(20, 10, 50, 30)], np.float32), np.array([0.9], np.float32)
        return Objects(boxes=boxes, scores=scores, labels=np.array([3]), masks=masks, **common)

    rows, cfg = compare(DETECTOR, predict)
    assert len(rows) == 2
    for image, truth, prediction in rows:
        assert image.shape == prediction.shape == (320, 320, 3)
        assert truth.shape[1] == 320
        assert colours_in(image, cfg) == set()
        assert len(colours_in(truth, cfg)) >= 1
        assert colours_in(prediction, cfg) == {tuple(cfg.metainfo.palette[3])}


def test_regions(compare):
    def predict(common):
        return Regions(labels=np.full(common["size"], 4, np.uint8), **common)

    rows, cfg = compare(SEGMENTOR, predict, legend=False, min_side=0)
    for image, truth, prediction in rows:
        assert image.shape == truth.shape == prediction.shape == (64, 64, 3)
        assert len(colours_in(truth, cfg)) >= 2
        # One region has no border, so only the name is opaque.
        assert np.array_equal(prediction[0, 0], np.round(image[0, 0] / 2 + np.array(cfg.metainfo.palette[4]) / 2 + 1e-6))


def test_images_in_their_stored_orientation(compare, tmp_path):
    def predict(common):
        return Regions(labels=np.full(common["size"], 4, np.uint8), **common)

    options = {"legend": False, "min_side": 0, "loaded": "color_ignore_orientation"}
    before, cfg = compare(SEGMENTOR, predict, **options)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    for path in (tmp_path / cfg.data_root).rglob("*.png"):
        image = Image.open(path)
        if image.mode == "RGB":
            image.save(path, exif=exif)
    after, _ = compare(SEGMENTOR, predict, **options)
    for rows in zip(before, after, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(*rows, strict=True))


def test_which_images(compare):
    def predict(common):
        return Regions(labels=np.full(common["size"], 4, np.uint8), **common)

    options = {"legend": False, "min_side": 0}
    both, _ = compare(SEGMENTOR, predict, **options)
    assert len(compare(SEGMENTOR, predict, 4, **options)[0]) == 2
    (second,), _ = compare(SEGMENTOR, predict, [1], **options)
    assert np.array_equal(second, both[1])
    for images in ([0, 2], [-1]):
        with pytest.raises(UserError, match=rf"the test data have no image {images[-1]}: give indices from 0 to 1"):
            compare(SEGMENTOR, predict, images)


def test_panoptic_truth():
    """mmdet has no panoptic map of the truth: regions come from the label map, objects from their masks."""
    image = np.full((40, 400, 3), 120, np.uint8)
    labels = np.full((40, 400), 2)
    labels[:, 300:] = 255
    masks = np.zeros((2, 40, 400), np.uint8)
    masks[0, :, 100:150] = masks[1, :, 150:200] = 1
    labels[:, 100:200] = 0
    instances = InstanceData(
        bboxes=torch.tensor([(100.0, 0, 150, 40), (150, 0, 200, 40)]),
        labels=torch.tensor([0, 0]),
        masks=BitmapMasks(masks, 40, 400),
    )
    sample = SimpleNamespace(gt_instances=instances, gt_sem_seg=PixelData(sem_seg=torch.from_numpy(labels)[None]))
    palette = np.array([(250, 10, 10), (10, 250, 10), (10, 10, 250)])
    options = {"classes": ("cat", "dog", "sky"), "colours": palette, "min_side": 0}
    ids = np.zeros((40, 400), np.int32)
    ids[:, :100], ids[:, 200:300], ids[:, 100:150], ids[:, 150:200] = 1, 1, 2, 3
    segments = (Segment(1, 2, False), Segment(2, 0, True), Segment(3, 0, True))
    common = {"path": None, "size": (40, 400), "classes": options["classes"], "colours": palette}
    found = Segments(ids=ids, segments=segments, **common)
    prediction = comparison._draw(image, found, True, options)
    assert np.array_equal(comparison._draw_truth(image, sample, found, True, options), prediction)
    assert (prediction[:40, 300:] == 120).all()
    assert (prediction[20, 149:151] == palette[0]).all()
