"""Draw ground truth and predictions of a detector or segmentor."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, init_default_scope
from mmengine.structures import BaseDataElement
from torch import Tensor, no_grad

from mmbeit3.images import read_image
from mmbeit3.inference.dense import build_visualizer
from mmbeit3.runner.loading import use_checked_loading

__all__ = ["compare_with_truth"]


def compare_with_truth(
    model: BaseModel, cfg: Config, count: int, factor: int = 1, score: float = 0.5
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Predict on the first images of a config's test dataset, and draw ground truth and prediction.

    Args:
        model: model from :func:`~mmbeit3.inference.dense.load_model`.
        cfg: config of the model.
        count: number of images.
        factor: integer scale of the pictures, because the labels need more room than small images have.
        score: smallest score of the boxes and masks to draw.

    Yields:
        The image, the ground truth and the prediction: uint8 (factor * H, factor * W, 3) each, RGB.
    """
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(use_checked_loading(cfg.test_dataloader, cfg)["dataset"])
    visualizer = build_visualizer(cfg, cfg.test_dataloader.dataset)
    options = {"pred_score_thr": score} if cfg.default_scope == "mmdet" else {}
    for index in range(min(count, len(dataset))):
        item = dataset[index]
        with no_grad():
            sample = model.test_step({"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]})[0].cpu()
        image = cv2.resize(read_image(sample.img_path), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)[..., ::-1]
        for name in ("gt_instances", "pred_instances", "gt_sem_seg", "pred_sem_seg"):
            if name in sample:
                setattr(sample, name, _enlarge(sample.get(name), factor))
        with tempfile.NamedTemporaryFile(suffix=".png") as drawn:
            # The visualizers of mmdet and mmseg draw ground truth and prediction side by side in one picture: split it.
            visualizer.add_datasample("image", image.copy(), sample, draw_gt=True, show=False, out_file=drawn.name, **options)
            truth, prediction = np.split(read_image(drawn.name)[..., ::-1], 2, axis=1)
        yield image, truth, prediction


def _enlarge(element: BaseDataElement, factor: int) -> BaseDataElement:
    """Scale the boxes, masks and segmentation maps of a data element by ``factor``."""
    kind = type(element)
    return kind(**{name: _enlarge_value(name, value, factor) for name, value in element.items()})


def _enlarge_value(name: str, value: Any, factor: int) -> Any:
    if name == "bboxes":
        return getattr(value, "tensor", value) * factor
    if name in ("masks", "sem_seg", "data"):
        if isinstance(value, Tensor):
            return value.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
        return value.resize((factor * value.height, factor * value.width))
    return value
