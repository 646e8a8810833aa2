"""Accuracy of data sets with one label per sample: ImageNet, NLVR2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric

from mmbeit3.errors import UserError
from mmbeit3.evaluation.metrics.reporting import report_scored, report_unreadable
from mmbeit3.registry import METRICS

__all__ = ["LabelAccuracy"]


@METRICS.register_module()
class LabelAccuracy(BaseMetric):
    """Percentage of samples whose label is among the k best predictions, ``top1`` and so on.

    Reads ``pred_score`` (C,) and ``gt_label`` (1,). Samples marked ``unreadable`` count as wrong, which mmpretrain's
    ``Accuracy`` does not support.

    Args:
        topk: values of k; not above the number of classes.
        collect_device: see MMEngine's ``BaseMetric``.
        prefix: prefix of the names of the scores; default ``accuracy``.
    """

    default_prefix = "accuracy"

    def __init__(self, topk: Sequence[int] = (1,), collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(topk)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Store the rank of each sample's label among the predictions, starting at 0.

        Raises:
            UserError: if the model has fewer classes than a k, or the label is not the index of a class.
        """
        for sample in data_samples:
            scores, label = sample["pred_score"].cpu(), int(sample["gt_label"])
            if max(self.topk) > len(scores) or not 0 <= label < len(scores):
                raise UserError(
                    f"the model has {len(scores)} classes, but the data has label {label} and the metric topk={self.topk}: "
                    "change the number of classes of the model, the data or topk"
                )
            unreadable = bool(sample.get("unreadable"))
            # Of equal scores the lowest index comes first. A NaN counts as better than every number.
            better = ~(scores <= scores[label])
            better[:label] |= scores[:label] == scores[label]
            rank = len(scores) if unreadable or torch.isnan(scores[label]) else int(better.sum())
            self.results.append((rank, unreadable))

    def compute_metrics(self, results: list[tuple[int, bool]]) -> dict[str, float]:
        """Average over samples."""
        reported = report_unreadable(sum(unreadable for _, unreadable in results), len(results))
        report_scored(len(results), len(results), "samples", {})
        ranks = torch.tensor([rank for rank, _ in results])
        return {f"top{k}": 100 * (ranks < k).double().mean().item() for k in self.topk} | reported
