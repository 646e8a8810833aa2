"""Small detectors and segmentors for the tests: configs, checkpoints and images."""

import cv2
import numpy as np
import torch
from mmengine.registry import MODELS, init_default_scope

from mmbeit3.runner.config import read_config
from tests.paths import ROOT

_DETECTOR = {"model.test_cfg.rcnn.max_per_img": 12, "model.test_cfg.rpn.max_per_img": 40}
_SIZE = {"test_dataloader.dataset.pipeline.1.scale": (64, 64)}
CONFIGS = {
    "detector": ("mask-rcnn_beit3-adapter-t_shapes.py", _DETECTOR | _SIZE),
    "segmentor": ("beit3-adapter-t_mask2former_shapes.py", _SIZE),
}


GREY = {
    "model.backbone.vit.in_channels": 1,
    "model.data_preprocessor.mean": [127.5],
    "model.data_preprocessor.std": [127.5],
    "model.data_preprocessor.bgr_to_rgb": False,
}
"""Options of a model for images of one channel."""


def write_model(kind, folder, seed=0, changes=()):
    """Write the config and a checkpoint of random weights of a small ``"detector"`` or ``"segmentor"``; return the paths."""
    name, options = CONFIGS[kind]
    cfg = read_config(ROOT / "configs" / "shapes" / name, {**options, **dict(changes)})
    init_default_scope(cfg.default_scope)
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    folder.mkdir(parents=True, exist_ok=True)
    config, weights = folder / f"{kind}.py", folder / f"{kind}-{seed}.pth"
    cfg.dump(config)
    torch.save({"state_dict": model.state_dict()}, weights)
    return str(config), str(weights)


def write_images(folder, sizes, seed=0):
    """Write PNG files of random patches, 0.png, 1.png, …, of the given heights and widths."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (height, width) in enumerate(sizes):
        patches = random.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
        paths.append(folder / f"{number}.png")
        cv2.imwrite(str(paths[-1]), patches.repeat(8, 0).repeat(8, 1)[:height, :width])
    return [str(path) for path in paths]
