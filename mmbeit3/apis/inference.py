"""Predicting on single images with a trained detector or segmentor."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import BaseModel
from mmengine.registry import MODELS, TRANSFORMS, VISUALIZERS, init_default_scope
from torch import no_grad

from mmbeit3.apis.runner import read_config
from mmbeit3.checkpoint import load_weights
from mmbeit3.datasets.metainfo import read_metainfo
from mmbeit3.errors import UserError, one_line
from mmbeit3.ops import replace_linears

__all__ = ["draw_prediction", "load_model", "read_image"]


def load_model(config: str | Path, checkpoint: str | Path, device: str = "cpu") -> tuple[BaseModel, Config]:
    """Build a model from its config file and fill it from a checkpoint. Nothing inside the checkpoint is run.

    Returns:
        The model in evaluation mode, and its config.

    Raises:
        UserError: if config or checkpoint cannot be used.
    """
    cfg = read_config(config)
    init_default_scope(cfg.get("default_scope", "mmengine"))
    try:
        model = MODELS.build(cfg.model)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"config '{config}' cannot be built: {one_line(error)}") from error
    load_weights(model, checkpoint)
    replace_linears(model)
    return model.to(device).eval(), cfg


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file: uint8 (H, W, 3), BGR.

    Raises:
        UserError: if it cannot be read.
    """
    pixels = cv2.imread(str(path))
    if pixels is None:
        reason = "is no image or is damaged" if Path(path).is_file() else "does not exist"
        raise UserError(f"image '{path}' {reason}: give a JPEG or PNG file")
    return pixels


def draw_prediction(model: BaseModel, cfg: Config, image: str | Path, out: str | Path, score: float = 0.5) -> None:
    """Predict on an image file and write a picture of the result.

    Args:
        model: from :func:`load_model`.
        cfg: its config.
        image: image file.
        out: picture to write.
        score: least score of boxes and masks that are drawn.

    Raises:
        UserError: if the image cannot be read.
    """
    pixels = read_image(image)
    dataset = cfg.test_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset.dataset
    steps = [step for step in dataset.pipeline if not step.type.split(".")[-1].startswith("Load")]
    data = {
        "img": pixels,
        "img_path": str(image),
        "img_id": 0,
        "img_shape": pixels.shape[:2],
        "ori_shape": pixels.shape[:2],
    }
    batch = pseudo_collate([Compose([TRANSFORMS.build(step) for step in steps])(data)])
    with no_grad():
        sample = model.test_step(batch)[0].cpu()
    visualizer = VISUALIZERS.build(cfg.visualizer)
    visualizer.dataset_meta = read_metainfo(dataset, cfg.default_scope)
    options = {"pred_score_thr": score} if cfg.default_scope == "mmdet" else {}
    visualizer.add_datasample(
        "image", pixels[..., ::-1].copy(), sample, draw_gt=False, show=False, out_file=str(out), **options
    )
