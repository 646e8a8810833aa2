"""Assignment, sampling and coding of boxes for mmdet's R-CNN detectors, without waits for single numbers.

Each class has the arguments and results of mmdet's class of the same name, also the random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.assigners import BboxOverlaps2D as MMDetBboxOverlaps2D
from mmdet.models.task_modules.assigners import MaxIoUAssigner as MMDetMaxIoUAssigner
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder as MMDetDeltaXYWHBBoxCoder
from mmdet.models.task_modules.samplers import RandomSampler as MMDetRandomSampler
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import BaseBoxes, cat_boxes
from torch import Tensor

from mmbeit3.models.heads.transfer import HostCopy, to_device

__all__ = ["BboxOverlaps2D", "DeltaXYWHBBoxCoder", "MaxIoUAssigner", "RandomSampler"]

_EPS = 1e-6
"""Smallest union in mmdet's IoU."""


class BboxOverlaps2D(MMDetBboxOverlaps2D):
    """IoU of boxes. mmdet copies a constant to the GPU in each call."""

    def __call__(self, bboxes1: Any, bboxes2: Any, mode: str = "iou", is_aligned: bool = False) -> Tensor:
        """Compute the overlaps of all pairs; other cases than float32 ``iou`` and ``iof`` of all pairs are left to mmdet.

        Args:
            bboxes1: (N, 4) x1, y1, x2, y2.
            bboxes2: (M, 4).
            mode: ``iou``, ``iof`` (intersection over the first box) or ``giou``.
            is_aligned: True to compare the boxes one by one.

        Returns:
            (N, M), or (N,) if ``is_aligned``.
        """
        plain = all(isinstance(boxes, Tensor) and boxes.shape[-1] == 4 for boxes in (bboxes1, bboxes2))
        if is_aligned or mode not in ("iou", "iof") or not plain or self.dtype is not None or bboxes1.dtype == torch.float16:
            overlaps: Tensor = super().__call__(bboxes1, bboxes2, mode, is_aligned)
            return overlaps
        first, second = bboxes1[:, None], bboxes2[None]
        sides = (torch.min(first[..., 2:], second[..., 2:]) - torch.max(first[..., :2], second[..., :2])).clamp(min=0)
        shared = sides[..., 0] * sides[..., 1]
        areas = (first[..., 2] - first[..., 0]) * (first[..., 3] - first[..., 1])
        if mode == "iou":
            areas = areas + (second[..., 2] - second[..., 0]) * (second[..., 3] - second[..., 1]) - shared
        return shared / areas.clamp(min=_EPS)


class MaxIoUAssigner(MMDetMaxIoUAssigner):
    """Assignment of boxes to ground truth by IoU. mmdet's makes the host wait once for each object.

    Raises:
        ValueError: if ``gpu_assign_thr`` or ``perm_repeat_gt_cfg`` is set.
    """

    iou_calculator: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.gpu_assign_thr > 0 or self.perm_repeat_gt_cfg is not None:
            raise ValueError("mmbeit3.MaxIoUAssigner has no gpu_assign_thr and perm_repeat_gt_cfg: use mmdet.MaxIoUAssigner")
        if type(self.iou_calculator) is MMDetBboxOverlaps2D:
            self.iou_calculator = BboxOverlaps2D(self.iou_calculator.scale, self.iou_calculator.dtype)

    def assign(
        self,
        pred_instances: Any,
        gt_instances: Any,
        gt_instances_ignore: Any = None,
        inside: Tensor | None = None,
        **kwargs: Any,
    ) -> AssignResult:
        """Assign each box to an object, to the background or to nothing.

        Args:
            pred_instances: ``priors`` (N, 4).
            gt_instances: ``bboxes`` (G, 4) and ``labels`` (G,).
            gt_instances_ignore: ``bboxes`` of regions whose boxes are assigned to nothing.
            inside: (N,) bool, False for boxes that do not take part and are assigned to nothing.
            **kwargs: not used.

        Returns:
            mmdet's result: ``gt_inds`` (N,) with 0 for the background, -1 for nothing, otherwise the object's position plus 1.
        """
        priors = pred_instances.priors
        overlaps = self.iou_calculator(gt_instances.bboxes, priors)
        ignored = None if gt_instances_ignore is None else gt_instances_ignore.bboxes
        if self.ignore_iof_thr > 0 and ignored is not None and len(ignored) and len(priors):
            first, second, dim = (priors, ignored, 1) if self.ignore_wrt_candidates else (ignored, priors, 0)
            covered = self.iou_calculator(first, second, mode="iof").amax(dim=dim) > self.ignore_iof_thr
            overlaps = overlaps.masked_fill(covered, -1)
        if inside is None:
            return self.assign_wrt_overlaps(overlaps, gt_instances.labels)
        result = self.assign_wrt_overlaps(overlaps.masked_fill(~inside, -1), gt_instances.labels)
        # Without objects, all boxes are background.
        result.gt_inds = result.gt_inds.masked_fill(~inside, -1)
        return result

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """Assign boxes by their overlaps.

        Args:
            overlaps: (G, N).
            gt_labels: (G,).

        Returns:
            See :meth:`assign`.
        """
        objects, boxes = overlaps.shape
        if not objects or not boxes:
            return super().assign_wrt_overlaps(overlaps, gt_labels)
        highest, best = overlaps.max(dim=0)
        low, high = self.neg_iou_thr if isinstance(self.neg_iou_thr, tuple) else (0, self.neg_iou_thr)
        assigned = torch.full_like(best, -1).masked_fill((highest >= low) & (highest < high), 0)
        assigned = torch.where(highest >= self.pos_iou_thr, best + 1, assigned)
        if self.match_low_quality:
            top, where = overlaps.max(dim=1)
            if self.gt_max_assign_all:
                chosen = overlaps == top[:, None]
            else:
                chosen = where[:, None] == torch.arange(boxes, device=overlaps.device)
            chosen &= (top >= self.min_pos_iou)[:, None]
            numbers = torch.arange(1, objects + 1, device=overlaps.device, dtype=torch.int32)
            # A later object takes a box from an earlier one.
            last = torch.where(chosen, numbers[:, None], 0).amax(dim=0)
            assigned = torch.where(last > 0, last, assigned)
        labels = torch.where(assigned > 0, gt_labels[(assigned - 1).clamp(min=0)], -1)
        return AssignResult(objects, assigned, highest, labels=labels)


class RandomSampler(MMDetRandomSampler):
    """Random choice of positive and negative boxes, with one wait per call for their numbers. mmdet's has up to six."""

    def select(self, assigned: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Choose boxes of several images with one wait.

        Args:
            assigned: (N,) ``gt_inds`` of each image.

        Returns:
            Positions of the positive and the negative boxes of each image, in ascending order.
        """
        orders, numbers = [], []
        for gt_inds in assigned:
            positive, negative = gt_inds > 0, gt_inds == 0
            kinds = (~positive).to(torch.uint8) + ~(positive | negative)  # 0 positive, 1 negative, 2 neither
            orders.append(kinds.sort(stable=True).indices)
            numbers.append(torch.stack([positive.sum(), negative.sum()]))
        counts = HostCopy(torch.stack(numbers)).read().tolist()
        return [self._choose(order, *count) for order, count in zip(orders, counts, strict=True)]

    def _choose(self, order: Tensor, positives: int, negatives: int) -> tuple[Tensor, Tensor]:
        chosen = self._draw(order[:positives], int(self.num * self.pos_fraction))
        wanted = self.num - len(chosen)
        if self.neg_pos_ub >= 0:
            wanted = min(wanted, int(self.neg_pos_ub * max(1, len(chosen))))
        return chosen, self._draw(order[positives : positives + negatives], wanted)

    @staticmethod
    def _draw(positions: Tensor, number: int) -> Tensor:
        if len(positions) <= number:
            return positions
        chosen = to_device(torch.randperm(len(positions))[:number], positions.device)
        return positions[chosen].sort().values

    def sample(self, assign_result: AssignResult, pred_instances: Any, gt_instances: Any, **kwargs: Any) -> SamplingResult:
        """Choose boxes of one image, see mmdet's ``BaseSampler.sample``.

        Args:
            assign_result: the assignment. If ``add_gt_as_proposals`` is set, the objects are added to it.
            pred_instances: ``priors`` (N, 4).
            gt_instances: ``bboxes`` and ``labels``.
            **kwargs: not used.
        """
        priors, objects = pred_instances.priors, gt_instances.bboxes
        flags = priors.new_zeros(len(priors), dtype=torch.uint8)
        if self.add_gt_as_proposals and len(objects):
            both = isinstance(objects, BaseBoxes) and isinstance(priors, BaseBoxes)
            priors = cat_boxes([objects.convert_to(type(priors)) if both else objects, priors], dim=0)
            assign_result.add_gt_(gt_instances.labels)
            flags = torch.cat([flags.new_ones(len(objects)), flags])
        ((positive, negative),) = self.select([assign_result.gt_inds])
        return SamplingResult(positive, negative, priors, objects, assign_result, flags)


class DeltaXYWHBBoxCoder(MMDetDeltaXYWHBBoxCoder):
    """Boxes as differences from other boxes. mmdet copies means and deviations to the GPU in each call."""

    def encode(self, bboxes: Any, gt_bboxes: Any) -> Tensor:
        """Return the differences (N, 4) from boxes (N, 4) to their ground truth (N, 4), in float32."""
        source, target = (boxes.tensor if isinstance(boxes, BaseBoxes) else boxes for boxes in (bboxes, gt_bboxes))
        source, target = source.float(), target.float()
        sides, sizes = source[:, 2:] - source[:, :2], target[:, 2:] - target[:, :2]
        moved = ((target[:, :2] + target[:, 2:]) * 0.5 - (source[:, :2] + source[:, 2:]) * 0.5) / sides
        return _per_column(torch.cat([moved, (sizes / sides).log()], dim=1), self.means, self.stds)

    def decode(self, bboxes: Any, pred_bboxes: Tensor, max_shape: Any = None, wh_ratio_clip: float = 16 / 1000) -> Any:
        """Return the boxes at predicted differences; other cases than boxes (N, 4) of one image are left to mmdet.

        Args:
            bboxes: (N, 4).
            pred_bboxes: (N, 4 * classes).
            max_shape: (h, w) of the image, to clip the boxes.
            wh_ratio_clip: smallest ratio of the new side to the old one; its inverse is the largest.

        Returns:
            (N, 4 * classes).
        """
        simple = isinstance(bboxes, Tensor) and pred_bboxes.ndim == 2 and len(pred_bboxes) and not self.use_box_type
        if not simple or self.add_ctr_clamp or not (max_shape is None or isinstance(max_shape[0], int)):
            return super().decode(bboxes, pred_bboxes, max_shape, wh_ratio_clip)
        deltas = pred_bboxes.unflatten(1, (-1, 4))  # (N, classes, 4)
        deltas = torch.stack([d * s + m for d, s, m in zip(deltas.unbind(2), self.stds, self.means, strict=True)], dim=2)
        sides = (bboxes[:, 2:] - bboxes[:, :2])[:, None]
        limit = abs(math.log(wh_ratio_clip))
        centres = ((bboxes[:, :2] + bboxes[:, 2:]) * 0.5)[:, None] + sides * deltas[..., :2]
        halves = sides * deltas[..., 2:].clamp(-limit, limit).exp() * 0.5
        boxes = torch.cat([centres - halves, centres + halves], dim=2)
        if self.clip_border and max_shape is not None:
            h, w = max_shape[:2]
            x, y = boxes[..., 0::2].clamp(0, w), boxes[..., 1::2].clamp(0, h)
            boxes = torch.stack([x, y], dim=3).flatten(2)
        return boxes.flatten(1)


def _per_column(deltas: Tensor, means: Sequence[float], stds: Sequence[float]) -> Tensor:
    """Subtract a mean and divide by a deviation in each column, with Python numbers as arguments of the kernels."""
    columns = [(column - m) / s for column, m, s in zip(deltas.unbind(1), means, stds, strict=True)]
    return torch.stack(columns, dim=1)
