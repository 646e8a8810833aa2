"""Non-maximum suppression with the rules of mmcv's CPU ops.

Everything is computed in float32, including the threshold and the comparison with it. Float64 boxes or scores, which mmcv does
not support, are computed in float64. An IoU of exactly 0.3 is therefore not above a threshold of 0.3, although the float32
number 0.3 is larger than the float64 one. (mmcv's CUDA op compares the intersection with threshold * union, which may round
differently.)
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
    """Suppress boxes whose IoU with a better box is above ``iou_threshold``, greedily.

    Args:
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: from 0 to 1. A box with exactly this IoU is kept.
        offset: 1 if a box includes its last pixel, so that its width is x2 - x1 + 1, otherwise 0.

    Returns:
        Indices of the kept boxes, best first.
    """
    dtype = wide_dtype(boxes, scores)
    boxes, scores = boxes.to(dtype), scores.to(dtype)
    if not offset:
        # torchvision compares in float64. Rounding the threshold to float32 gives the result of a float32 comparison.
        threshold = float(np.float32(iou_threshold)) if dtype == torch.float32 else iou_threshold
        return torchvision.ops.nms(boxes, scores, threshold)
    # Enlarging the boxes by one pixel for torchvision would round differently than adding 1 to the widths.
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

    Ties are resolved as in mmcv: it swaps the best box with the first remaining one, and overwrites a dropped box with the last
    one. The order of equal scores depends on these moves, so they are repeated here.

    Args:
        boxes: (N, 4) on the CPU.
        scores: (N,).
        dets: (N, 5) buffer. Its first rows receive the kept boxes and their new scores.
        iou_threshold: scores change at this IoU and above, for methods 0 and 1.
        sigma: width of the Gaussian decay.
        min_score: boxes with a lower score are dropped.
        method: 0 drops boxes (plain NMS), 1 multiplies scores by 1 - IoU, 2 by exp(-IoU² / sigma).
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
        # The first remaining box moves to the position of the best.
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
    """Compute the IoU of one box with others."""
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
    """Return the positions of surviving boxes after each dropped box was overwritten by the last surviving one."""
    count = int(alive.sum())
    places = np.arange(len(alive))
    places[:count][~alive[:count]] = places[count:][alive[count:]][::-1]
    return places[:count]
