"""Non-maximum suppression."""

from __future__ import annotations

import numpy as np
import torch
import torchvision
from torch import Tensor

__all__ = ["nms", "softnms"]

_NAIVE, _LINEAR, _GAUSSIAN = range(3)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy suppression of boxes that overlap a better one by more than ``iou_threshold``.

    Args:
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: in 0 to 1.
        offset: 1 if a box includes its last pixel, so that its width is x2 - x1 + 1; else 0.

    Returns:
        Indices of the kept boxes, best first.
    """
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes.float(), scores.float(), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of boxes that overlap a better one, best first (Soft-NMS, arXiv 1704.04503).

    Args:
        boxes: (N, 4) on the CPU.
        scores: (N,).
        dets: (N, 5) buffer; its first rows are filled with box and new score of what is kept.
        iou_threshold: from which overlap on scores change, for methods 0 and 1.
        sigma: of the Gaussian decay.
        min_score: boxes that fall below it are dropped.
        method: 0 drops (plain NMS), 1 multiplies by 1 - IoU, 2 by exp(-IoU² / sigma).
        offset: see :func:`nms`.

    Returns:
        Indices of the kept boxes, best first.
    """
    corners = boxes.detach().numpy().astype(np.float32)
    remaining = scores.detach().numpy().astype(np.float32)
    indices = np.arange(len(corners))
    areas = (corners[:, 2] - corners[:, 0] + offset) * (corners[:, 3] - corners[:, 1] + offset)
    kept: list[int] = []
    while len(indices):
        best = int(remaining.argmax())
        chosen = indices[best]
        dets[len(kept), :4] = boxes[chosen]
        dets[len(kept), 4] = float(remaining[best])
        kept.append(int(chosen))
        indices, remaining = np.delete(indices, best), np.delete(remaining, best)
        remaining = remaining * _decay(_overlap(corners, areas, chosen, indices, offset), iou_threshold, sigma, method)
        alive = remaining >= min_score
        indices, remaining = indices[alive], remaining[alive]
    return torch.tensor(kept, dtype=torch.long)


def _overlap(corners: np.ndarray, areas: np.ndarray, one: int, others: np.ndarray, offset: int) -> np.ndarray:
    """IoU of one box with others."""
    top_left = np.maximum(corners[one, :2], corners[others, :2])
    bottom_right = np.minimum(corners[one, 2:], corners[others, 2:])
    inter = np.clip(bottom_right - top_left + offset, 0, None).prod(axis=1)
    union = areas[one] + areas[others] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def _decay(iou: np.ndarray, threshold: float, sigma: float, method: int) -> np.ndarray:
    if method == _GAUSSIAN:
        return np.exp(-(iou**2) / sigma)
    lowered = np.zeros_like(iou) if method == _NAIVE else 1 - iou
    return np.where(iou >= threshold, lowered, 1).astype(np.float32)
