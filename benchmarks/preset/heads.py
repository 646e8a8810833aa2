"""Parts that measure whole training iterations of mmdet's and mmseg's models: forward, losses, backward, optimizer step."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from torch import Tensor

from benchmarks.cases import OURS, Case, Contender, Results, Step, Unavailable
from benchmarks.preset.context import Context, Output
from benchmarks.preset.figures import Figure
from benchmarks.preset.iteration_data import detection_batch, segmentation_batch
from benchmarks.preset.iteration_step import Iteration, shared_points, stock_types
from mmbeit3.extras import require
from mmbeit3.resources import path_of

__all__ = ["MASK2FORMER_GOALS", "MASK_RCNN_GOALS", "mask2former", "mask_rcnn"]

_SEGMENTOR = "Mask2Former large 640², batch 2, iteration"
_DETECTOR = "Mask R-CNN base 800 x 1333, batch 2, iteration"

MASK2FORMER_GOALS = [
    Figure(_SEGMENTOR, "time", None, "s", "≤", 0.22),
    Figure(_SEGMENTOR, "speed relative to the stock head", None, "x"),
]
MASK_RCNN_GOALS = [Figure(_DETECTOR, "speed relative to mmdet's with timm's ViT-B", None, "x", "≥", 1.3)]

_HALF_TOLERANCE = 0.1
"""Largest deviation of features and losses in half precision; larger than usual, because rounding changes assignments."""


def mask2former(context: Context) -> Iterator[Output]:
    """Measure an iteration of Mask2Former on ADE20K, and of the same with mmdet's and mmseg's own head."""
    path, side = ("shapes/beit3-adapter-t_mask2former_shapes.py", 64)
    if not context.settings.quick:
        path, side = "ade20k/beit3-adapter-l_mask2former_8xb2-160k_ade20k-640x640.py", 640
    config = _read(path)
    ours = config.model
    data = segmentation_batch(2, side, ours.decode_head.num_classes)
    stock = copy.deepcopy(ours)
    stock.decode_head = stock_types(stock.decode_head)
    build = partial(_Builder, config, data, context)
    contenders = {OURS: build(ours), "stock head": build(stock, True)}
    rows = context.measure(_case(context, f"Mask2Former {side}², batch 2, iteration", contenders), context.settings)
    yield rows
    first, second = (row.median_ms for row in rows)
    yield _figure(MASK2FORMER_GOALS[0], first and first / 1e3)
    yield _figure(MASK2FORMER_GOALS[1], second / first if first and second else None)


def mask_rcnn(context: Context) -> Iterator[Output]:
    """Measure an iteration of Mask R-CNN on COCO, and of mmdet's around timm's ViT-B with ViTDet's pyramid.

    The two are different networks, so each is compared with its own losses in float32.
    """
    path, size, vit = "shapes/mask-rcnn_beit3-adapter-t_shapes.py", (64, 96), "vit_tiny_patch16_224"
    if not context.settings.quick:
        path, size, vit = "coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py", (800, 1333), "vit_base_patch16_224"
    config = _read(path)
    ours = config.model
    data = detection_batch(2, size, ours.roi_head.bbox_head.num_classes)
    stock = stock_types(copy.deepcopy(ours), keep=("backbone",))
    padded = tuple(-(-side // 32) * 32 for side in size)
    stock.backbone = {"type": "mmbeit3.TimmViT", "model_name": vit, "image_size": padded}
    width = 192 if context.settings.quick else 768
    stock.neck = {"type": "mmbeit3.SimpleFeaturePyramid", "in_channels": width, "out_channels": ours.neck.out_channels}
    medians: list[float | None] = []
    for name, model in ((OURS, ours), ("mmdet's, timm's ViT", stock)):
        title = f"Mask R-CNN {size[0]} x {size[1]}, batch 2, iteration"
        # A network of its own: it is the first contender of its case, and its own reference.
        rows = context.measure(
            _case(context, title, {name: _Builder(config, data, context, model, model is stock)}), context.settings
        )
        yield rows
        medians.append(rows[0].median_ms)
    first, second = medians
    yield Figure(_DETECTOR, "time", first and first / 1e3, "s")
    yield _figure(MASK_RCNN_GOALS[0], second / first if first and second else None)


@dataclass(frozen=True)
class _Builder:
    """Builds the iterations of one model.

    Attributes:
        config: config with the optimizer.
        data: batch of images and annotations.
        context: settings.
        model: config of the model.
        stock: see :class:`~benchmarks.preset.iteration_step.Iteration`.
    """

    config: Any
    data: Mapping[str, Any]
    context: Context
    model: Any
    stock: bool = False

    def __call__(self, dtype: str, weights: Mapping[str, Tensor] | None = None) -> Iteration:
        settings = self.context.settings
        return Iteration(self.config, self.model, self.data, settings.device, dtype, weights, self.stock)


def _case(context: Context, title: str, builders: Mapping[str, _Builder]) -> Case:
    """Return the case of models with the same weights in bfloat16; the first one in float32 is the reference."""
    first = next(iter(builders.values()))

    @cache
    def weights() -> dict[str, Tensor]:
        return first("float32").weights()

    def step(builder: _Builder, dtype: str, _: bool = True) -> Step:
        return _checked_once(builder(dtype, weights()))

    contenders = [
        Contender(name, partial(step, builder, "bfloat16"), partial(step, builder, "float32"))
        for name, builder in builders.items()
    ]
    return Case(
        title,
        "bfloat16",
        contenders,
        reference=partial(step, first, "float32"),
        memory=True,
        images=2,
        half_tolerance=_HALF_TOLERANCE,
    )


def _checked_once(iteration: Iteration) -> Step:
    """Return a step whose first call gives features, losses and gradients; later calls are whole iterations."""
    checked = False

    def step() -> Sequence[Tensor]:
        nonlocal checked
        if checked:
            iteration.train()
            return []
        checked = True
        with shared_points():
            return Results(*iteration.differentiate())

    return step


def _read(path: str) -> Any:
    """Read a config of the repository.

    Raises:
        Unavailable: if mmdet or mmseg is missing.
    """
    try:
        require("mmdet", "mmseg")
    except ImportError as error:
        raise Unavailable(str(error)) from error
    import mmdet.models  # noqa: F401  (otherwise mmseg builds a stub instead of Mask2Former's head)
    import mmseg.models  # noqa: F401
    from mmengine.config import Config

    import mmbeit3.registry  # noqa: F401

    return Config.fromfile(path_of("configs") / path)


def _figure(goal: Figure, value: float | None) -> Figure:
    return Figure(**{**vars(goal), "value": value})
