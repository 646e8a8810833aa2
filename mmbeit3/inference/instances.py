"""Predictions of mmdet's models with little memory: only objects with a sufficient score get masks, as crops.

mmdet computes a full-size mask for every candidate. For a 24-megapixel photograph these take gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Condition, local
from typing import Any

import numpy as np
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import INSTANCE_OFFSET
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.inference.found import FoundObjects, FoundSegments
from mmbeit3.inference.masks import Mask, crop_mask, paste_mask

__all__ = ["CompactHeads", "convert_instances", "convert_panoptic", "fuse_queries"]


class CompactHeads:
    """The heads of a detector, which are changed for predictions so that they compute only what is needed.

    Several threads may predict at the same time; those with another score wait.

    Args:
        model: a detector.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model
        configs = {id(config): config for part in model.modules() if (config := _score_config(part)) is not None}
        self._configs = list(configs.values())
        self._mask_heads = [
            part
            for part in model.modules()
            if isinstance(part, FCNMaskHead) and type(part).predict_by_feat is FCNMaskHead.predict_by_feat
        ]
        fusion = getattr(model, "panoptic_fusion_head", None)
        self._fusion = fusion if isinstance(fusion, MaskFormerFusionHead) else None
        self._gate = Condition()
        self._running = 0
        self._score = 0.0
        self._changes = ExitStack()
        self._thread = local()

    def predict(self, batch: Mapping[str, Any], score: float) -> list[FoundObjects | FoundSegments]:
        """Run mmdet's ``test_step`` on a batch.

        Args:
            batch: ``inputs`` and ``data_samples``, as its dataset gives them.
            score: smallest score of the objects.

        Returns:
            For each image its segments if the model is panoptic, else its objects, sorted by score.
        """
        self._thread.fused = []
        with self._changed(score):
            samples = self.model.test_step(batch)
        fused: list[FoundObjects | FoundSegments] = self._thread.fused
        return fused or [_convert(self.model, sample, score) for sample in samples]

    @contextmanager
    def _changed(self, score: float) -> Iterator[None]:
        """Change how the heads compute boxes and masks, until the last thread leaves the context. The values stay the same."""
        with self._gate:
            self._gate.wait_for(lambda: not self._running or self._score == score)
            if not self._running:
                self._score = score
                self._change(score)
            self._running += 1
        try:
            yield
        finally:
            with self._gate:
                self._running -= 1
                if not self._running:
                    self._changes.close()
                    self._gate.notify_all()

    def _change(self, score: float) -> None:
        for config in self._configs:
            # Boxes below the score cannot suppress others in NMS, because it goes by descending score.
            self._changes.callback(config.__setitem__, "score_thr", config["score_thr"])
            config["score_thr"] = max(config["score_thr"], score)
        for head in self._mask_heads:
            self._replace(head, "predict_by_feat", partial(_paste_masks, head))
        if self._fusion is not None:
            self._replace(self._fusion, "predict", self._fuse)
            self._replace(self.model.panoptic_head, "predict", partial(_predict_queries, self.model.panoptic_head))

    def _replace(self, owner: Any, name: str, function: Any) -> None:
        setattr(owner, name, function)
        self._changes.callback(delattr, owner, name)

    def _fuse(self, *arguments: Any, **options: Any) -> list[dict[str, Any]]:
        """Replace ``MaskFormerFusionHead.predict``, and keep what it finds for this thread."""
        assert self._fusion is not None
        found = fuse_queries(self._fusion, self._score, *arguments, **options)
        self._thread.fused += found
        return [{} for _ in found]


def convert_instances(instances: Any, score: float) -> FoundObjects:
    """Convert mmdet's instances (predictions or ground truth) to arrays, sorted by score.

    Args:
        instances: ``InstanceData`` with ``bboxes`` and ``labels``, perhaps ``scores`` and ``masks``.
        score: smallest score. Ground truth has scores of 1.
    """
    boxes = getattr(instances.bboxes, "tensor", instances.bboxes)
    boxes = boxes.detach().float().cpu().numpy().reshape(-1, 4)
    labels = instances.labels.cpu().numpy().astype(np.int64)
    scores = instances.scores.float().cpu().numpy() if "scores" in instances else np.ones(len(boxes), np.float32)
    masks: tuple[Mask, ...] | None = None
    if "masks" in instances:
        given = instances.masks
        if hasattr(given, "to_ndarray"):  # mmdet's BitmapMasks and PolygonMasks
            given = given.to_ndarray().astype(bool)
        masks = tuple(mask if isinstance(mask, Mask) else crop_mask(_to_bool(mask)) for mask in given)
    return _sorted(FoundObjects(boxes, scores, labels, masks), score)


def convert_panoptic(codes: Tensor, num_things: int, num_classes: int) -> FoundSegments:
    """Convert mmdet's panoptic map to segments.

    Args:
        codes: (H, W), the class plus 1000 times the number of the instance. Pixels without a segment have a larger class.
        num_things: number of classes of objects; they come first.
        num_classes: number of all classes.
    """
    found = codes.cpu().numpy()
    ids = np.zeros(found.shape, np.int32)
    labels, things = [], []
    for code in np.unique(found).tolist():
        label = code % INSTANCE_OFFSET
        if label >= num_classes:
            continue
        labels.append(label)
        things.append(label < num_things)
        ids[found == code] = len(labels)
    return FoundSegments(ids, tuple(labels), tuple(things), None)


def _sorted(found: FoundObjects, score: float) -> FoundObjects:
    """Sort objects by score, highest first, and leave out those below the smallest score."""
    order = np.argsort(-found.scores, kind="stable")
    return found.pick(order[found.scores[order] >= score])


def _convert(model: Any, sample: Any, score: float) -> FoundObjects | FoundSegments:
    if "pred_panoptic_seg" in sample:
        head = model.panoptic_fusion_head
        return convert_panoptic(sample.pred_panoptic_seg.sem_seg[0], head.num_things_classes, head.num_classes)
    return convert_instances(sample.pred_instances, score)


def _to_bool(mask: Any) -> np.ndarray:
    array = mask.cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    return array.astype(bool)


def _score_config(part: nn.Module) -> Any:
    """Return the test settings with a score threshold that a head reads, or None. Several heads may share one."""
    config = getattr(part, "test_cfg", None)
    return config if isinstance(config, dict) and isinstance(config.get("score_thr"), int | float) else None


def _paste_masks(
    head: FCNMaskHead,
    mask_preds: Sequence[Tensor],
    results_list: list[Any],
    batch_img_metas: Sequence[Mapping[str, Any]],
    rcnn_test_cfg: Any,
    rescale: bool = False,
    activate_map: bool = False,
) -> list[Any]:
    """Replace ``FCNMaskHead.predict_by_feat``: ``masks`` is a list of :class:`Mask`."""
    for logits, results, meta in zip(mask_preds, results_list, batch_img_metas, strict=True):
        height, width = meta["ori_shape"][:2]
        if rescale:
            results.bboxes = results.bboxes / results.bboxes.new_tensor(meta["scale_factor"]).repeat(2)
        chosen = logits if activate_map else logits.sigmoid()
        if not head.class_agnostic:
            chosen = chosen[torch.arange(len(chosen), device=chosen.device), results.labels]
        else:
            chosen = chosen[:, 0]
        boxes, chosen = results.bboxes.cpu(), chosen.cpu()
        threshold = rcnn_test_cfg.mask_thr_binary
        results.masks = [paste_mask(*pair, (height, width), threshold) for pair in zip(chosen, boxes, strict=True)]
    return results_list


def _predict_queries(head: Any, x: Sequence[Tensor], batch_data_samples: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Replace ``MaskFormerHead.predict``: masks stay at the size of the pixel decoder's map."""
    scores, masks = head(x, batch_data_samples)
    return scores[-1], masks[-1]


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
    boxes = np.array([_box(mask) for mask in masks_found], np.float32).reshape(-1, 4)
    factors = np.array([mean for _, mean in pairs], np.float32)
    return _sorted(FoundObjects(boxes, best[rows].cpu().numpy() * factors, labels[rows].cpu().numpy(), masks_found), score)


def _box(mask: Mask) -> tuple[float, float, float, float]:
    height, width = mask.pixels.shape
    return float(mask.left), float(mask.top), float(mask.left + width), float(mask.top + height)


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
