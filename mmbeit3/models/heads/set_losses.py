"""Mask2Former's losses for all decoder layers at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops import point_sample
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.models.heads.matching import MatchCosts, match_queries
from mmbeit3.models.heads.objects import Objects
from mmbeit3.models.heads.transfer import to_device

__all__ = ["SetLosses"]

_ROWS = 512
"""Largest number of masks whose candidate points are drawn together. A row has about 40,000 candidates."""
_EPS = torch.finfo(torch.float32).eps
"""What mmdet adds to a loss's divisor."""


class SetLosses(nn.Module):
    """Losses of mmdet's ``Mask2FormerHead`` with the same values, computed for all layers and images together.

    mmdet computes the losses layer by layer and image by image, and makes the host wait for the GPU about 20 times per layer.
    Here it waits once, see :func:`~mmbeit3.models.heads.matching.match_queries`. Under autocast, the costs and the divisors are
    float32, where mmdet's are half precision.

    Args:
        head: mmdet's head with the settings of its losses, its assigner and its points. It is not kept.

    Raises:
        ValueError: if a loss or a cost of the head is not one of Mask2Former's.
    """

    class_weight: Tensor

    def __init__(self, head: Any) -> None:
        super().__init__()
        from mmdet.models.losses import CrossEntropyLoss, DiceLoss

        wanted = (("loss_cls", CrossEntropyLoss, False), ("loss_mask", CrossEntropyLoss, True), ("loss_dice", DiceLoss, True))
        for name, kind, sigmoid in wanted:
            loss = getattr(head, name)
            if type(loss) is not kind or loss.use_sigmoid != sigmoid or loss.reduction != "mean":
                raise ValueError(
                    f"{name} must be mmdet.{kind.__name__} with use_sigmoid={sigmoid} and reduction='mean': "
                    "use these losses, or mmdet's head"
                )
        if head.loss_mask.class_weight is not None or getattr(head.loss_mask, "use_mask", False):
            raise ValueError("loss_mask must not have class_weight or use_mask: remove them, or use mmdet's head")
        self.costs = MatchCosts(head.assigner)
        self.num_points = head.num_points
        self.ratios = (head.oversample_ratio, head.importance_sample_ratio)
        self.cls_weight, self.mask_weight = head.loss_cls.loss_weight, head.loss_mask.loss_weight
        self.ignore_index = -100 if head.loss_cls.ignore_index is None else head.loss_cls.ignore_index
        # The dice loss is computed per mask by mmdet's module.
        self.dice = head.loss_dice
        # A buffer is copied to the GPU once; mmdet's lists are copied in every step.
        self.register_buffer("class_weight", torch.tensor(head.class_weight), persistent=False)

    def forward(self, scores: Sequence[Tensor], masks: Sequence[Tensor], objects: Objects) -> dict[str, Tensor]:
        """Compute the losses of all layers.

        Args:
            scores: (B, Q, classes + 1) logits of the classes, of each layer.
            masks: (B, Q, h, w) mask logits of each layer.
            objects: ground truth.

        Returns:
            ``loss_cls``, ``loss_mask`` and ``loss_dice`` of the last layer, and with the prefixes ``d0.``, ``d1.``, ... those
            of the other layers. Scalars.
        """
        all_scores, all_masks = torch.stack(list(scores)), torch.stack(list(masks))  # (L, B, Q, ...)
        L, _, Q = all_scores.shape[:3]
        matched = match_queries(self.costs, all_scores, all_masks, objects, self.num_points)
        queries = to_device(torch.from_numpy(matched), all_masks.device).flatten()  # (L * G,)
        crowded = max(objects.counts) > Q
        losses = {
            "loss_cls": self._classes(all_scores, queries, objects),
            **self._masks(all_masks.flatten(0, 2), queries, objects, Q, crowded),
        }
        named = {}
        for layer in (L - 1, *range(L - 1)):
            prefix = "" if layer == L - 1 else f"d{layer}."
            named.update({f"{prefix}{name}": values[layer] for name, values in losses.items()})
        return named

    def _classes(self, scores: Tensor, queries: Tensor, objects: Objects) -> Tensor:
        """Compute the weighted cross entropy of each layer, (L,)."""
        L, classes = len(scores), scores.shape[-1]
        logits = scores.reshape(-1, classes)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        # The last entry receives the labels of objects without a query.
        labels = objects.labels.new_full((len(logits) + 1,), classes - 1)
        labels = labels.scatter_(0, queries, objects.labels.repeat(L))[:-1]
        weight = self.class_weight.to(logits.dtype)
        loss = F.cross_entropy(logits, labels, weight=weight, reduction="none", ignore_index=self.ignore_index)
        divisors = weight[labels].view(L, -1).sum(dim=1) + _EPS
        return self.cls_weight * loss.view(L, -1).sum(dim=1) / divisors

    def _masks(self, masks: Tensor, queries: Tensor, objects: Objects, Q: int, crowded: bool) -> dict[str, Tensor]:
        """Compute the losses of the masks (L * B * Q, h, w) of each layer, (L,) each."""
        from mmdet.utils import reduce_mean

        G = len(objects.labels)
        number = sum(max(min(count, Q), 1) for count in objects.counts)
        # All processes take part in the mean, also those without objects.
        total = reduce_mean(torch.full((), float(number), device=masks.device)).clamp(min=1)
        L = len(masks) // (len(objects.counts) * Q)
        if not G:
            zeros = masks[:0].sum().expand(L)
            return {"loss_mask": zeros, "loss_dice": zeros}
        rows = masks.index_select(0, queries.clamp(max=len(masks) - 1) if crowded else queries)[:, None]  # (L * G, 1, h, w)
        points = self._points(rows)
        with torch.no_grad():
            # (G, 1, H, W) at (G, L, P, 2): a mask is read once for all layers.
            positions = points.view(L, G, -1, 2).transpose(0, 1)
            targets = point_sample(objects.masks[:, None], positions).squeeze(1).transpose(0, 1).flatten(0, 1)  # (L * G, P)
        logits = point_sample(rows, points).squeeze(1)  # (L * G, P)
        entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1)
        dice = self.dice(logits, targets, reduction_override="none")
        if crowded:
            valid = queries < len(masks)
            entropy, dice = entropy * valid, dice * valid
        return {
            "loss_mask": self.mask_weight * entropy.view(L, G).sum(dim=1) / (total * self.num_points + _EPS),
            "loss_dice": dice.view(L, G).sum(dim=1) / (total + _EPS),
        }

    @torch.no_grad()
    def _points(self, rows: Tensor) -> Tensor:
        """Draw points (N, P, 2), mostly where the masks (N, 1, h, w) are uncertain."""
        from mmdet.models.utils import get_uncertain_point_coords_with_randomness as draw

        return torch.cat([draw(part, None, self.num_points, *self.ratios) for part in rows.split(_ROWS)])
