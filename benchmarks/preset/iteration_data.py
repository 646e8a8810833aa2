"""Random batches of images and annotations in the form of mmdet's and mmseg's data loaders."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

__all__ = ["detection_batch", "segmentation_batch"]

_OBJECTS = 7
"""Objects per image, about COCO's mean."""

_SEGMENTS = 9
"""Classes per image, about ADE20K's mean."""


def segmentation_batch(images: int, side: int, num_classes: int) -> dict[str, Any]:
    """Return uint8 images (3, side, side) with label maps of rectangles, always the same.

    Args:
        images: number of images.
        side: side of the images in pixels.
        num_classes: number of classes.
    """
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    random = np.random.default_rng(0)
    batch: dict[str, Any] = {"inputs": [], "data_samples": []}
    for _ in range(images):
        labels = np.full((side, side), random.integers(num_classes))
        for label in random.choice(num_classes, min(_SEGMENTS, num_classes), replace=False):
            left, top, right, bottom = _box(random, side, side)
            labels[top:bottom, left:right] = label
        sample = SegDataSample(metainfo={"img_shape": (side, side), "ori_shape": (side, side)})
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(labels)[None].long())
        batch["inputs"].append(_image(random, side, side))
        batch["data_samples"].append(sample)
    return batch


def detection_batch(images: int, size: tuple[int, int], num_classes: int) -> dict[str, Any]:
    """Return uint8 images (3, height, width) with boxes and masks of rectangles, always the same.

    Args:
        images: number of images.
        size: height and width in pixels.
        num_classes: number of classes.
    """
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    random = np.random.default_rng(0)
    height, width = size
    batch: dict[str, Any] = {"inputs": [], "data_samples": []}
    for _ in range(images):
        boxes = np.array([_box(random, height, width) for _ in range(_OBJECTS)])
        masks = np.zeros((_OBJECTS, height, width), dtype=np.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
            mask[top:bottom, left:right] = 1
        shape = {"img_shape": size, "ori_shape": size, "scale_factor": (1.0, 1.0)}
        sample = DetDataSample(metainfo=shape)
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes).float(),
            labels=torch.from_numpy(random.integers(num_classes, size=_OBJECTS)),
            masks=BitmapMasks(masks, height, width),
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        batch["inputs"].append(_image(random, height, width))
        batch["data_samples"].append(sample)
    return batch


def _image(random: np.random.Generator, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(random.integers(256, size=(3, height, width), dtype=np.uint8))


def _box(random: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a box with sides from 1/10 to 1/2 of the image's."""
    w, h = (int(random.uniform(0.1, 0.5) * side) for side in (width, height))
    left, top = int(random.integers(width - w)), int(random.integers(height - h))
    return left, top, left + w, top + h
