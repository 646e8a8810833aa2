"""Accuracy of one label a sample: ImageNet, NLVR2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric

from mmbeit3.errors import UserError
from mmbeit3.evaluation.metrics.counts import report_scored
from mmbeit3.evaluation.metrics.unreadable import report_unreadable
from mmbeit3.registry import METRICS

__all__ = ["LabelAccuracy"]


@METRICS.register_module()
class LabelAccuracy(BaseMetric):
    """Percentage of samples whose label is among the first k predictions, ``top1`` and so on.

    Reads ``pred_score`` (C,) and ``gt_label`` (1,). Samples marked ``unreadable`` count as wrong, which mmpretrain's
    ``Accuracy`` would not know.

    Args:
        topk: values of k; not above the number of classes.
        collect_device: MMEngine's.
        prefix: stands before the names; default ``accuracy``.
    """

    default_prefix = "accuracy"

    def __init__(self, topk: Sequence[int] = (1,), collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(topk)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep for each sample the place of its label among the predictions, from 0.

        Raises:
            UserError: if there are fewer classes than a k, or the label is none of them.
        """
        for sample in data_samples:
            scores, label = sample["pred_score"].cpu(), int(sample["gt_label"])
            if max(self.topk) > len(scores) or not 0 <= label < len(scores):
                raise UserError(
                    f"the model has {len(scores)} classes, but the data a label {label} and the metric topk={self.topk}: make "
                    "them fit"
                )
            unreadable = bool(sample.get("unreadable"))
            # Among equals the one of the lowest index comes first. What is no number beats everything.
            better = ~(scores <= scores[label])
            better[:label] |= scores[:label] == scores[label]
            place = len(scores) if unreadable or torch.isnan(scores[label]) else int(better.sum())
            self.results.append((place, unreadable))

    def compute_metrics(self, results: list[tuple[int, bool]]) -> dict[str, float]:
        """Average over samples."""
        reported = report_unreadable(sum(unreadable for _, unreadable in results), len(results))
        report_scored(len(results), len(results), "samples", {})
        places = torch.tensor([place for place, _ in results])
        return {f"top{k}": 100 * (places < k).double().mean().item() for k in self.topk} | reported
