"""One view gives the detector's result; for several views, boxes are pooled and masks averaged."""

import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from tests.configs.tiny import make_tiny
from tests.paths import ROOT

CASCADE = "configs/coco/cascade-mask-rcnn_beit3-b_vitdet_o365-1280_coco.py"
CONFIGS = {
    "cascade": CASCADE,
    "mask": "configs/shapes/mask-rcnn_beit3-adapter-t_shapes.py",
    "boxes": "configs/objects365/cascade-rcnn_beit3-b_vitdet_1024_objects365.py",
}
SIZE = (96, 128)


@pytest.fixture(params=CONFIGS, scope="module")
def detector(request):
    """Build a TTA model of an untrained detector with the same predictions in every run."""
    torch.manual_seed(0)
    cfg = make_tiny(Config.fromfile(ROOT / CONFIGS[request.param]))
    init_default_scope(cfg.default_scope)
    # Pure numbers are compared: nothing is close to a threshold if every box is kept.
    cfg.model.test_cfg.rcnn = {
        "score_thr": 0.0,
        "nms": {"type": "nms", "iou_threshold": 0.5},
        "max_per_img": 20,
        "mask_thr_binary": 0.5,
    }
    tta = MODELS.build({"type": "mmbeit3.InstanceTTAModel", "module": cfg.model}).eval()
    with torch.no_grad():
        for name, parameter in tta.named_parameters():
            if parameter.ndim > 1 and ("fc_cls" in name or "conv_logits" in name or "rpn_cls" in name):
                parameter.normal_(std=0.1)
    return tta


def sample(size=SIZE, flip=None, factor=1.0):
    meta = {"ori_shape": SIZE, "img_shape": size, "scale_factor": (factor, factor), "flip": bool(flip), "flip_direction": flip}
    return DetDataSample(metainfo=meta)


def image():
    return torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8)


def detect(tta, *views):
    inputs, samples = zip(*views, strict=True)
    (result,) = tta.test_step({"inputs": [[i] for i in inputs], "data_samples": [[s] for s in samples]})
    return result.pred_instances


def plainly(tta, pixels):
    with torch.no_grad():
        (result,) = tta.module.test_step({"inputs": [pixels], "data_samples": [sample()]})
    return result.pred_instances


def assert_same(found, wanted):
    assert len(found) == len(wanted) == 20
    torch.testing.assert_close(found.scores, wanted.scores)
    assert torch.equal(found.labels, wanted.labels)
    torch.testing.assert_close(found.bboxes, wanted.bboxes, atol=1e-3, rtol=1e-5)
    assert ("masks" in found) == ("masks" in wanted)
    if "masks" in found:
        assert found.masks.shape[1:] == SIZE
        # A mask may differ by a pixel whose probability is the threshold.
        assert (found.masks != wanted.masks).float().mean() < 1e-3


def test_one_view_is_the_detector_alone(detector):
    pixels = image()
    assert_same(detect(detector, (pixels, sample())), plainly(detector, pixels))


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_a_flipped_view_is_flipped_back(detector, direction):
    axes = {"horizontal": [2], "vertical": [1], "diagonal": [1, 2]}[direction]
    pixels = image()
    wanted = copy.deepcopy(plainly(detector, pixels.flip(axes)))
    x1, y1, x2, y2 = wanted.bboxes.unbind(1)
    if 2 in axes:
        x1, x2 = SIZE[1] - x2, SIZE[1] - x1
    if 1 in axes:
        y1, y2 = SIZE[0] - y2, SIZE[0] - y1
    wanted.bboxes = torch.stack([x1, y1, x2, y2], dim=1)
    if "masks" in wanted:
        wanted.masks = wanted.masks.flip(axes)
    assert_same(detect(detector, (pixels.flip(axes), sample(flip=direction))), wanted)


def test_twice_the_same_view_changes_nothing(detector):
    # The suppression removes the doubles, and a mean of two equal probabilities is the same.
    pixels = image()
    view = (pixels, sample())
    twice = detect(detector, view, copy.deepcopy(view))
    assert_same(twice, plainly(detector, pixels))


def test_views_of_different_sizes(detector):
    pixels = image()
    larger = torch.nn.functional.interpolate(pixels[None].float(), scale_factor=1.5)[0].byte()
    found = detect(detector, (pixels, sample()), (larger, sample((144, 192), factor=1.5)))
    assert len(found) == 20
    assert (found.bboxes >= 0).all()
    assert (found.bboxes <= torch.tensor([SIZE[1], SIZE[0]] * 2) + 1e-3).all()


def test_nothing_found(detector, monkeypatch):
    monkeypatch.setitem(detector.module.test_cfg.rcnn, "score_thr", 1.0)
    found = detect(detector, (image(), sample()))
    assert len(found) == 0
    if detector.module.roi_head.with_mask:
        assert found.masks.shape == (0, *SIZE)
