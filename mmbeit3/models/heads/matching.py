"""Assignment of queries to objects for all decoder layers and images of a batch, with one copy to the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.ops import point_sample
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.models.heads.objects import Objects
from mmbeit3.models.heads.transfer import HostCopy, to_device

__all__ = ["MatchCosts", "match_queries"]


class MatchCosts:
    """Costs of mmdet's ``HungarianAssigner`` for several layers and images at once, in float32.

    Args:
        assigner: mmdet's assigner with any of the costs ``ClassificationCost``, ``CrossEntropyLossCost`` and ``DiceCost``.

    Raises:
        ValueError: if the assigner has another type or another cost.
    """

    def __init__(self, assigner: Any) -> None:
        from mmdet.models.task_modules.assigners import HungarianAssigner
        from mmdet.models.task_modules.assigners.match_cost import ClassificationCost, CrossEntropyLossCost, DiceCost

        if type(assigner) is not HungarianAssigner:
            raise ValueError(f"assigner {type(assigner).__name__} is not supported: use HungarianAssigner, or mmdet's head")
        computations = {
            ClassificationCost: self._classification,
            CrossEntropyLossCost: self._cross_entropy,
            DiceCost: self._dice,
        }
        for cost in assigner.match_costs:
            if type(cost) not in computations or not getattr(cost, "use_sigmoid", True):
                raise ValueError(
                    f"match cost {cost.__class__.__name__} is not supported: use ClassificationCost, CrossEntropyLossCost "
                    "with use_sigmoid=True and DiceCost, or mmdet's head"
                )
        self._costs = [(cost, computations[type(cost)]) for cost in assigner.match_costs]

    def __call__(self, scores: Tensor, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Compute the costs of all pairs of a query and an object.

        Args:
            scores: (N, Q, classes + 1) logits of the classes.
            logits: (N, Q, P) mask logits at P points.
            labels: (N, G) classes of the objects.
            targets: (N, G, P) masks of the objects at the same points, 0 to 1.

        Returns:
            (N, Q, G), float32.
        """
        parts = [function(cost, scores.float(), logits, labels, targets) for cost, function in self._costs]
        return torch.stack(parts).sum(dim=0)

    @staticmethod
    def _classification(cost: Any, scores: Tensor, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        index = labels[:, None].expand(-1, scores.shape[1], -1)
        return scores.softmax(dim=-1).gather(2, index) * -cost.weight

    @staticmethod
    def _cross_entropy(cost: Any, scores: Tensor, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        # Binary cross entropy with logit x and target t is softplus(x) - x * t, so the pairs need one matrix product.
        product = logits @ targets.mT
        return (F.softplus(logits).sum(dim=-1, keepdim=True) - product) * (cost.weight / logits.shape[-1])

    @staticmethod
    def _dice(cost: Any, scores: Tensor, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        masks = logits.sigmoid() if cost.pred_act else logits
        overlap = 2 * (masks @ targets.mT)
        if not cost.naive_dice:
            masks, targets = masks.square(), targets.square()
        total = masks.sum(dim=-1)[:, :, None] + targets.sum(dim=-1)[:, None]
        return (1 - (overlap + cost.eps) / (total + cost.eps)) * cost.weight


@torch.no_grad()
def match_queries(costs: MatchCosts, scores: Tensor, masks: Tensor, objects: Objects, num_points: int) -> np.ndarray:
    """Assign queries to objects in every layer and image, by masks at random points.

    Args:
        costs: costs of the pairs.
        scores: (L, B, Q, classes + 1) logits of the classes of L layers and B images.
        masks: (L, B, Q, h, w) mask logits.
        objects: the G objects of the images.
        num_points: number of random points per layer and image.

    Returns:
        (L, G) position of each object's query among the L * B * Q queries. Objects without a query, if an image has more
        objects than queries, have the position L * B * Q.
    """
    L, B, Q = scores.shape[:3]
    queries = np.full((L, sum(objects.counts)), L * B * Q)
    if not queries.size:
        return queries
    points = torch.rand(L, B, num_points, 2, device=masks.device)
    with torch.autocast(masks.device.type, enabled=False):
        # The queries are channels, so that they share the positions.
        logits = point_sample(masks.flatten(0, 1).float(), points.flatten(0, 1))  # (L * B, Q, P)
        labels, targets = _padded(objects, points)
        pairs = costs(scores.flatten(0, 1), logits, labels.repeat(L, 1), targets.flatten(0, 1))
    matrices = HostCopy(pairs).read().reshape(L, B, Q, -1)
    for layer in range(L):
        for image, (start, count) in enumerate(zip(objects.starts, objects.counts, strict=True)):
            rows, columns = linear_sum_assignment(matrices[layer, image, :, :count])
            queries[layer, start + columns] = (layer * B + image) * Q + rows
    return queries


def _padded(objects: Objects, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return labels (B, n) and masks at points (L, B, n, P), with n the largest number of objects of an image."""
    L, B, P = points.shape[:3]
    most = max(objects.counts)
    positions = [_positions(start, count, most) for start, count in zip(objects.starts, objects.counts, strict=True)]
    labels = objects.labels[to_device(torch.tensor(positions), points.device)]
    targets = points.new_zeros(L, B, most, P)
    for image, (start, count) in enumerate(zip(objects.starts, objects.counts, strict=True)):
        if count:
            sampled = point_sample(objects.masks[None, start : start + count], points[None, :, image])  # (1, count, L, P)
            targets[:, image, :count] = sampled[0].transpose(0, 1)
    return labels, targets


def _positions(start: int, count: int, most: int) -> Sequence[int]:
    """Return the positions of an image's objects, filled with position 0 to the same length for all images."""
    return [*range(start, start + count), *[0] * (most - count)]
