"""Objects and segments from the queries of Mask2Former and MaskFormer: masks of the image's size, one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.inference.found import FoundObjects, FoundSegments
from mmbeit3.inference.masks import Mask, crop_mask

__all__ = ["fuse_queries"]


def fuse_queries(
    head: MaskFormerFusionHead,
    score: float,
    mask_cls_results: Tensor,
    mask_pred_results: Tensor,
    batch_data_samples: Sequence[Any],
    rescale: bool = False,
    **_: Any,
) -> list[FoundObjects | FoundSegments]:
    """Do the work of ``MaskFormerFusionHead.predict``. Masks are resized one at a time, and only for queries that can be kept.

    Args:
        head: the fusion head, for its settings.
        score: smallest score of objects.
        mask_cls_results: logits of the classes, (B, Q, C + 1).
        mask_pred_results: logits of the masks, (B, Q, h, w), of the size that the pixel decoder gives.
        batch_data_samples: data samples with the sizes of the images.
        rescale: True for results of the size of the original images.
    """
    panoptic = head.test_cfg.get("panoptic_on", True)
    found: list[FoundObjects | FoundSegments] = []
    for classes, masks, sample in zip(mask_cls_results, mask_pred_results, batch_data_samples, strict=True):
        sizes = _Sizes.of(sample.metainfo, rescale)
        found.append(_panoptic(head, classes, masks, sizes) if panoptic else _instances(head, classes, masks, sizes, score))
    return found


@dataclass(frozen=True)
class _Sizes:
    """Sizes of an image (height, width): of the padded batch, of the image without padding, and of the result."""

    batch: tuple[int, int]
    image: tuple[int, int]
    result: tuple[int, int]

    @classmethod
    def of(cls, meta: Mapping[str, Any], rescale: bool) -> _Sizes:
        image = tuple(meta["img_shape"][:2])
        return cls(tuple(meta["batch_input_shape"][:2]), image, tuple(meta["ori_shape"][:2]) if rescale else image)

    def resize(self, logits: Tensor) -> Tensor:
        """Resize the logits of one mask, (h, w), as mmdet does: to the batch's size, without padding, to the result's size."""
        whole = F.interpolate(logits[None, None], self.batch, mode="bilinear", align_corners=False)
        part = whole[:, :, : self.image[0], : self.image[1]]
        if part.shape[2:] != self.result:
            part = F.interpolate(part, self.result, mode="bilinear", align_corners=False)
        return part[0, 0]


def _instances(head: Any, classes: Tensor, masks: Tensor, sizes: _Sizes, score: float) -> FoundObjects:
    """Compute the instances of an image, see ``MaskFormerFusionHead.instance_postprocess``."""
    scores = F.softmax(classes, -1)[:, :-1]
    # The final score is the class score times a factor of at most 1.
    best, indices = scores.flatten().topk(min(head.test_cfg.get("max_per_image", 100), scores.numel()))
    queries, labels = indices // head.num_classes, indices % head.num_classes
    keep = (labels < head.num_things_classes) & (best >= score)
    best, queries, labels = best[keep], queries[keep], labels[keep]
    found: dict[int, tuple[Mask, float]] = {}
    for query in sorted(set(queries.tolist())):
        logits = sizes.resize(masks[query])
        inside = logits > 0
        count = int(inside.sum())
        if count:
            mean = float(logits[inside].sigmoid().sum() / (count + 1e-6))
            found[query] = crop_mask(inside.cpu().numpy()), mean
    rows = [row for row, query in enumerate(queries.tolist()) if query in found]
    pairs = [found[query] for query in queries[rows].tolist()]
    masks_found = tuple(mask for mask, _ in pairs)
    boxes = np.array([mask.box for mask in masks_found], np.float32).reshape(-1, 4)
    factors = np.array([mean for _, mean in pairs], np.float32)
    final = best[rows].cpu().numpy() * factors
    return FoundObjects(boxes, final, labels[rows].cpu().numpy(), masks_found).sorted(score)


def _panoptic(head: Any, classes: Tensor, masks: Tensor, sizes: _Sizes) -> FoundSegments:
    """Compute the segments of an image, see ``MaskFormerFusionHead.panoptic_postprocess``."""
    config = head.test_cfg
    best_scores, best_labels = F.softmax(classes, -1).max(-1)
    keep = best_labels.ne(head.num_classes) & (best_scores > config.get("object_mask_thr", 0.8))
    scores, labels, kept = best_scores[keep].tolist(), best_labels[keep].tolist(), masks[keep]
    best = torch.zeros(sizes.result, device=masks.device)
    owner = torch.full(sizes.result, -1, dtype=torch.int16, device=masks.device)
    areas = []
    for number, (weight, logits) in enumerate(zip(scores, kept, strict=True)):
        probabilities = sizes.resize(logits).sigmoid()
        areas.append(int((probabilities >= 0.5).sum()))
        weighted = weight * probabilities
        # The first of equal maxima wins, as in argmax; a probability may be 0.
        better = (weighted > best) | (owner < 0)
        owner.masked_fill_(better, number)
        torch.where(better, weighted, best, out=best)
    # Outside of filter_low_score, every pixel belongs to some kept mask.
    inside_only = config.get("filter_low_score", False)
    winners = owner.cpu().numpy()
    ids = np.zeros(sizes.result, np.int32)
    found: list[tuple[int, bool, float]] = []
    stuff: dict[int, int] = {}
    for number, (label, area) in enumerate(zip(labels, areas, strict=True)):
        mask = winners == number
        won = int(np.count_nonzero(mask))
        if not won or not area or won / area < config.get("iou_thr", 0.8):
            continue
        if inside_only:
            mask &= (sizes.resize(kept[number]).sigmoid() >= 0.5).cpu().numpy()
        is_thing = label < head.num_things_classes
        if not is_thing and label in stuff:
            # Regions of one class are one segment; its score is the highest one.
            ids[mask] = stuff[label]
            continue
        if not mask.any():
            continue
        found.append((label, is_thing, scores[number]))
        ids[mask] = len(found)
        if not is_thing:
            stuff[label] = len(found)
    return FoundSegments(ids, *map(tuple, zip(*found, strict=True))) if found else FoundSegments(ids, (), (), ())
