"""Predictions of mmdet's models with little memory: only objects with a sufficient score get masks, as crops.

mmdet computes a full-size mask for every candidate. For a 24-megapixel photograph these take gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Condition, local
from typing import Any

import numpy as np
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import INSTANCE_OFFSET
from torch import Tensor, nn

from mmbeit3.inference.found import FoundObjects, FoundSegments
from mmbeit3.inference.masks import Mask, crop_mask, paste_mask
from mmbeit3.inference.queries import fuse_queries

__all__ = ["CompactHeads", "convert_instances", "convert_panoptic"]


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
    return FoundObjects(boxes, scores, labels, masks).sorted(score)


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
