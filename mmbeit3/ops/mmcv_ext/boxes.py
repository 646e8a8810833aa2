"""Non-maximum suppression by the rules of mmcv's CPU operators.

All is computed in float32, the threshold and the comparison with it included; for float64 boxes or scores, which mmcv does not
take, in float64. So an IoU of exactly 0.3 is not above a threshold of 0.3, although 0.3 in float32 is above that in float64.
(mmcv's CUDA operator compares the intersection with threshold times union instead, whose last bit may differ.)
"""

from __future__ import annotations

import numpy as np
import torch
import torchvision
from torch import Tensor

from mmbeit3.ops.precision import wide_dtype

__all__ = ["nms", "softnms"]

_NAIVE, _LINEAR, _GAUSSIAN = range(3)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy suppression of boxes that overlap a better one by more than ``iou_threshold``.

    Args:
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: in 0 to 1; a box of just this IoU stays.
        offset: 1 if a box includes its last pixel, so that its width is x2 - x1 + 1; else 0.

    Returns:
        Indices of the kept boxes, best first.
    """
    dtype = wide_dtype(boxes, scores)
    boxes, scores = boxes.to(dtype), scores.to(dtype)
    if not offset:
        # torchvision compares in double precision: with a threshold rounded to float32 that is the comparison in float32.
        threshold = float(np.float32(iou_threshold)) if dtype == torch.float32 else iou_threshold
        return torchvision.ops.nms(boxes, scores, threshold)
    # Boxes that torchvision would take for one pixel larger are rounded otherwise than widths that are.
    corners = boxes.detach().cpu().numpy()
    areas = _areas(corners, offset)
    left = scores.argsort(descending=True, stable=True).cpu().numpy()
    kept: list[int] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[~(_overlap(corners, areas, best, left, offset) > corners.dtype.type(iou_threshold))]
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)


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

    Of boxes with the same score that comes first which mmcv's operator takes first: it puts the best box in the place of the
    first one left, and the last one in the place of one that is dropped.

    Args:
        boxes: (N, 4) on the CPU.
        scores: (N,).
        dets: (N, 5) buffer; its first rows are filled with box and new score of what is kept.
        iou_threshold: from which overlap on, itself included, scores change, for methods 0 and 1.
        sigma: of the Gaussian decay.
        min_score: boxes that fall below it are dropped.
        method: 0 drops (plain NMS), 1 multiplies by 1 - IoU, 2 by exp(-IoU² / sigma).
        offset: see :func:`nms`.

    Returns:
        Indices of the kept boxes, best first.
    """
    dtype = wide_dtype(boxes, scores)
    corners = boxes.detach().to(dtype).numpy()
    remaining = scores.detach().to(dtype).numpy()
    threshold, least = corners.dtype.type(iou_threshold), corners.dtype.type(min_score)
    areas = _areas(corners, offset)
    left = np.arange(len(corners))
    kept: list[int] = []
    while len(left):
        best = int(remaining.argmax())
        chosen, score = int(left[best]), remaining[best]
        dets[len(kept), :4] = boxes[chosen]
        dets[len(kept), 4] = float(score)
        kept.append(chosen)
        # The first one left moves to the place of the best.
        places = np.arange(len(left))
        places[best] = 0
        left, remaining = left[places[1:]], remaining[places[1:]]
        remaining = remaining * _decay(_overlap(corners, areas, chosen, left, offset), threshold, sigma, method)
        places = _survivors(~(remaining < least))
        left, remaining = left[places], remaining[places]
    return torch.tensor(kept, dtype=torch.long)


def _areas(corners: np.ndarray, offset: int) -> np.ndarray:
    return (corners[:, 2] - corners[:, 0] + offset) * (corners[:, 3] - corners[:, 1] + offset)


def _overlap(corners: np.ndarray, areas: np.ndarray, one: int, others: np.ndarray, offset: int) -> np.ndarray:
    """IoU of one box with others."""
    top_left = np.maximum(corners[one, :2], corners[others, :2])
    bottom_right = np.minimum(corners[one, 2:], corners[others, 2:])
    inter = np.clip(bottom_right - top_left + offset, 0, None).prod(axis=1)
    union = areas[one] + areas[others] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def _decay(iou: np.ndarray, threshold: np.floating, sigma: float, method: int) -> np.ndarray:
    if method == _GAUSSIAN:
        return np.exp(-(iou**2) / iou.dtype.type(sigma))
    lowered = np.zeros_like(iou) if method == _NAIVE else 1 - iou
    return np.where(iou >= threshold, lowered, iou.dtype.type(1))


def _survivors(alive: np.ndarray) -> np.ndarray:
    """Places of those alive, where each that is not has been replaced by the last one that is."""
    count = int(alive.sum())
    places = np.arange(len(alive))
    places[:count][~alive[:count]] = places[count:][alive[count:]][::-1]
    return places[:count]
