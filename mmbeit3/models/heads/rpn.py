"""mmdet's region proposal network, with the losses of all images and levels computed together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead as MMDetRPNHead
from mmdet.models.losses import CrossEntropyLoss, L1Loss, SmoothL1Loss
from mmdet.models.task_modules.prior_generators import anchor_inside_flags
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.models.heads.assigning import DeltaXYWHBBoxCoder, MaxIoUAssigner, RandomSampler

__all__ = ["RPNHead"]

_EPS = torch.finfo(torch.float32).eps
"""What mmdet adds to a loss's divisor."""


class RPNHead(MMDetRPNHead):
    """mmdet's ``RPNHead`` with the same arguments, parameters, random numbers and results.

    Its losses wait for the GPU once, for the numbers of positive and negative anchors.

    Raises:
        ValueError: if the losses, the coder, the assigner or the sampler are not those that this class supports.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        supported = type(self.loss_cls) is CrossEntropyLoss and self.loss_cls.use_sigmoid and self.loss_cls.class_weight is None
        if not supported or type(self.loss_bbox) not in (L1Loss, SmoothL1Loss) or self.reg_decoded_bbox:
            raise ValueError(
                "mmbeit3.RPNHead needs CrossEntropyLoss with use_sigmoid=True, and L1Loss or SmoothL1Loss: use mmdet.RPNHead"
            )
        parts = (("bbox_coder", DeltaXYWHBBoxCoder), ("assigner", MaxIoUAssigner), ("sampler", RandomSampler))
        for name, kind in parts if self.train_cfg else parts[:1]:
            if not isinstance(getattr(self, name), kind):
                raise ValueError(
                    f"mmbeit3.RPNHead needs {name}=dict(type='mmbeit3.{kind.__name__}', ...), or use mmdet.RPNHead"
                )

    def loss_by_feat(
        self,
        cls_scores: Sequence[Tensor],
        bbox_preds: Sequence[Tensor],
        batch_gt_instances: Sequence[Any],
        batch_img_metas: Sequence[Any],
        batch_gt_instances_ignore: Sequence[Any] | None = None,
    ) -> dict[str, list[Tensor]]:
        """Compute the losses.

        Args:
            cls_scores: (B, anchors, h, w) logits of each level.
            bbox_preds: (B, anchors * 4, h, w) of each level.
            batch_gt_instances: ``bboxes`` and ``labels`` of each image.
            batch_img_metas: ``img_shape`` and ``pad_shape`` of each image.
            batch_gt_instances_ignore: ``bboxes`` of each image's ignored regions.

        Returns:
            ``loss_rpn_cls`` and ``loss_rpn_bbox``, each with one scalar per level.

        Raises:
            ValueError: if no anchor is inside an image.
        """
        batch = len(batch_gt_instances)
        logits = torch.cat([level.permute(0, 2, 3, 1).reshape(batch, -1) for level in cls_scores], dim=1)  # (B, A)
        deltas = torch.cat([level.permute(0, 2, 3, 1).reshape(batch, -1, 4) for level in bbox_preds], dim=1)  # (B, A, 4)
        sizes = [level[0].numel() for level in cls_scores]
        shapes = [level.shape[-2:] for level in cls_scores]
        with torch.no_grad():
            targets, weights, boxes, box_weights, divisor = self._targets(
                shapes, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore or [None] * batch, logits.device
            )
        entropy = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none") * weights
        if type(self.loss_bbox) is L1Loss:
            distances = F.l1_loss(deltas, boxes, reduction="none")
        else:
            distances = F.smooth_l1_loss(deltas, boxes, reduction="none", beta=self.loss_bbox.beta)
        distances = (distances * box_weights[..., None]).sum(dim=2)
        return {
            name: [loss_weight * level.sum() / (divisor + _EPS) for level in values.split(sizes, dim=1)]
            for name, values, loss_weight in (
                ("loss_rpn_cls", entropy, self.loss_cls.loss_weight),
                ("loss_rpn_bbox", distances, self.loss_bbox.loss_weight),
            )
        }

    def _targets(
        self, shapes: Any, instances: Sequence[Any], metas: Sequence[Any], ignored: Sequence[Any], device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
        """Return targets and weights of the classes (B, A), of the boxes (B, A, 4) and (B, A), and the losses' divisor."""
        anchor_list, flag_list = self.get_anchors(shapes, metas, device=device)
        anchors = torch.cat(anchor_list[0])  # (A, 4), the same for all images
        prediction = InstanceData(priors=anchors)
        insides, assigned = [], []
        for image, flags, meta, ignore in zip(instances, flag_list, metas, ignored, strict=True):
            border = self.train_cfg["allowed_border"]
            insides.append(anchor_inside_flags(anchors, torch.cat(flags), meta["img_shape"][:2], border))
            assigned.append(self.assigner.assign(prediction, image, ignore, inside=insides[-1]))
        chosen = self.sampler.select([result.gt_inds for result in assigned])
        targets = anchors.new_zeros(len(instances), len(anchors))
        weights, box_weights, boxes = targets.clone(), targets.clone(), anchors.new_zeros(*targets.shape, 4)
        weight = self.train_cfg["pos_weight"]
        for index, (image, (positive, negative)) in enumerate(zip(instances, chosen, strict=True)):
            if not len(positive) and not len(negative) and not insides[index].any():
                raise ValueError(
                    f"no anchor is inside image {index} of {metas[index]['img_shape']} pixels: "
                    "use larger images or smaller anchors, or set train_cfg.rpn.allowed_border=-1"
                )
            if len(positive):
                result = assigned[index]
                targets[index].index_copy_(0, positive, (result.labels[positive] == 0).to(targets.dtype))
                objects = image.bboxes[result.gt_inds[positive] - 1]
                boxes[index].index_copy_(0, positive, self.bbox_coder.encode(anchors[positive], objects))
                weights[index].index_fill_(0, positive, weight if weight > 0 else 1.0)
                box_weights[index].index_fill_(0, positive, 1.0)
            weights[index].index_fill_(0, negative, 1.0)
        divisor = sum(max(len(positive), 1) + max(len(negative), 1) for positive, negative in chosen)
        return targets, weights, boxes, box_weights, float(divisor)
