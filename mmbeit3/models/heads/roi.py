"""Parts of mmdet's RoI heads whose training seldom waits for the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.ops import roi_align
from mmdet.models.losses import accuracy
from mmdet.models.roi_heads import FCNMaskHead as MMDetFCNMaskHead
from mmdet.models.roi_heads import Shared2FCBBoxHead as MMDetShared2FCBBoxHead
from mmdet.models.roi_heads import Shared4Conv1FCBBoxHead as MMDetShared4Conv1FCBBoxHead
from mmdet.models.roi_heads import SingleRoIExtractor as MMDetSingleRoIExtractor
from mmdet.structures.mask import BitmapMasks
from torch import Tensor, nn

from mmbeit3.models.heads.transfer import HostCopy, to_device
from mmbeit3.ops import widened

__all__ = ["FCNMaskHead", "Shared2FCBBoxHead", "Shared4Conv1FCBBoxHead", "SingleRoIExtractor"]


class SingleRoIExtractor(MMDetSingleRoIExtractor):
    """mmdet's ``SingleRoIExtractor`` with one wait, for the number of RoIs of all levels. mmdet's waits for each level.

    RoIs stay in float32 if the features are in half precision. mmdet rounds them to the features' dtype: in bfloat16, whose
    numbers are 4 pixels apart from 512 on, small boxes are pooled beside their objects.
    """

    def forward(self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Pool the features of RoIs.

        Args:
            feats: (B, C, h, w) of each level.
            rois: (N, 5), image and x1, y1, x2, y2.
            roi_scale_factor: enlargement of the RoIs; as in mmdet, it is ignored for a single level.

        Returns:
            (N, C, size, size), in the features' dtype.
        """
        if not len(rois):
            empty: Tensor = super().forward(feats, rois, roi_scale_factor)
            return empty
        if len(feats) == 1:
            return _pool(self.roi_layers[0], feats[0], rois)
        levels = self.map_roi_levels(rois, len(feats))
        if roi_scale_factor is not None:
            rois = self.roi_rescale(rois, roi_scale_factor)
        order = levels.sort(stable=True).indices
        numbers = torch.stack([(levels == level).sum() for level in range(len(feats))])
        parts = rois[order].split(HostCopy(numbers).read().tolist())
        found = [
            _pool(layer, level, part) for layer, level, part in zip(self.roi_layers, feats, parts, strict=True) if len(part)
        ]
        pooled = torch.cat(found).index_select(0, order.argsort())
        for level, part in zip(feats, parts, strict=True):
            if not len(part):
                # Every process of a distributed training must compute gradients of the same maps.
                pooled = pooled + level.sum() * 0.0
        return pooled


def _pool(layer: nn.Module, level: Tensor, rois: Tensor) -> Tensor:
    # mmcv's compiled operator needs one dtype for both.
    wide = widened(level)
    pooled: Tensor = layer(wide, rois.to(wide.dtype))
    return pooled.to(level.dtype)


class _BBoxLoss:
    """Losses of a box head, whose positive boxes are known from the sampling. mmdet's finds them from the labels."""

    def loss_and_target(
        self,
        cls_score: Tensor | None,
        bbox_pred: Tensor | None,
        rois: Tensor,
        sampling_results: Sequence[Any],
        rcnn_train_cfg: Any,
        concat: bool = True,
        reduction_override: str | None = None,
    ) -> dict[str, Any]:
        """Compute the losses, see mmdet's ``BBoxHead``.

        Args:
            cls_score: (N, classes + 1).
            bbox_pred: (N, 4) or (N, 4 * classes).
            rois: (N, 5).
            sampling_results: chosen boxes of each image; the RoIs are their positive, then their negative boxes.
            rcnn_train_cfg: training settings.
            concat: must be True; other cases are left to mmdet.
            reduction_override: reduction of the losses.

        Returns:
            ``loss_bbox`` with the losses and the accuracy, and ``bbox_targets``.
        """
        head: Any = self
        if not concat or head.reg_decoded_bbox or head.custom_activation:
            arguments = (cls_score, bbox_pred, rois, sampling_results, rcnn_train_cfg, concat, reduction_override)
            result: dict[str, Any] = super().loss_and_target(*arguments)  # type: ignore[misc]
            return result
        targets = head.get_targets(sampling_results, rcnn_train_cfg)
        labels, label_weights, bbox_targets, _ = targets
        losses: dict[str, Any] = {}
        if cls_score is not None and cls_score.numel():
            # Each sampled box has a weight.
            losses["loss_cls"] = head.loss_cls(
                cls_score, labels, label_weights, avg_factor=float(len(labels)), reduction_override=reduction_override
            )
            losses["acc"] = accuracy(cls_score, labels)
        if bbox_pred is not None:
            positive = _positive_rows(sampling_results, bbox_pred.device)
            if len(positive):
                pred = bbox_pred.view(len(bbox_pred), -1)[positive]
                if not head.reg_class_agnostic:
                    rows = torch.arange(len(positive), device=pred.device)
                    pred = pred.view(len(pred), head.num_classes, -1)[rows, labels[positive]]
                # The weights of positive boxes are 1. With weights, the loss would read whether any is positive.
                losses["loss_bbox"] = head.loss_bbox(
                    pred, bbox_targets[positive], avg_factor=len(bbox_targets), reduction_override=reduction_override
                )
            else:
                losses["loss_bbox"] = bbox_pred[:0].sum()
        return {"loss_bbox": losses, "bbox_targets": targets}


def _positive_rows(sampling_results: Sequence[Any], device: torch.device) -> Tensor:
    rows, start = [], 0
    for result in sampling_results:
        rows.append(np.arange(start, start + len(result.pos_inds)))
        start += len(result.pos_inds) + len(result.neg_inds)
    return to_device(torch.from_numpy(np.concatenate(rows)), device)


class Shared2FCBBoxHead(_BBoxLoss, MMDetShared2FCBBoxHead):
    """mmdet's ``Shared2FCBBoxHead``, whose losses do not wait for the GPU."""


class Shared4Conv1FCBBoxHead(_BBoxLoss, MMDetShared4Conv1FCBBoxHead):
    """mmdet's ``Shared4Conv1FCBBoxHead``, whose losses do not wait for the GPU."""


class FCNMaskHead(MMDetFCNMaskHead):
    """mmdet's ``FCNMaskHead``, whose targets are cropped on the GPU for all images at once.

    mmdet copies boxes to the host, and masks to the GPU, the host and back, for each image.

    With fewer than 80 classes, the last layer starts as small as with 80. mmdet draws its weights with a standard deviation of
    sqrt(2 / classes), so that one class starts with logits of about 10 instead of 1, and the mask loss with 2 to 4.
    """

    def init_weights(self) -> None:
        """Initialize the weights."""
        super().init_weights()
        with torch.no_grad():
            self.conv_logits.weight.mul_(min(1.0, (self.conv_logits.out_channels / 80) ** 0.5))

    def get_targets(self, sampling_results: Sequence[Any], batch_gt_instances: Sequence[Any], rcnn_train_cfg: Any) -> Tensor:
        """Crop and resize the masks of the positive boxes; polygons and masks of several sizes are left to mmdet.

        Args:
            sampling_results: ``pos_priors`` (n, 4) and ``pos_assigned_gt_inds`` (n,) of each image.
            batch_gt_instances: ``masks`` of each image.
            rcnn_train_cfg: ``mask_size``, and ``soft_mask_target``.

        Returns:
            (N, mask_size, mask_size) float32 for all images.
        """
        masks = [image.masks for image in batch_gt_instances]
        positives = [result.pos_priors for result in sampling_results]
        same = all(isinstance(part, BitmapMasks) and part.masks.shape[1:] == masks[0].masks.shape[1:] for part in masks)
        if not same or not sum(map(len, positives)):
            cropped: Tensor = super().get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
            return cropped
        starts = np.cumsum([0, *(len(part) for part in masks[:-1])]).tolist()
        rows = torch.cat([r.pos_assigned_gt_inds + s for r, s in zip(sampling_results, starts, strict=True)])
        boxes = torch.cat(positives)
        x, y = boxes[:, 0::2].clamp(0, masks[0].width), boxes[:, 1::2].clamp(0, masks[0].height)
        rois = torch.stack([rows.to(boxes.dtype), x[:, 0], y[:, 0], x[:, 1], y[:, 1]], dim=1)
        maps = to_device(torch.from_numpy(np.concatenate([part.masks for part in masks])), boxes.device).to(boxes.dtype)
        size = rcnn_train_cfg.mask_size
        size = (size, size) if isinstance(size, int) else tuple(size)
        targets = roi_align(maps[:, None], rois, size, 1.0, 0, "avg", True).squeeze(1)
        return targets.float() if rcnn_train_cfg.get("soft_mask_target", False) else (targets >= 0.5).float()
