"""Soft targets of VQAv2's questions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from mmcv.transforms import BaseTransform

from mmbeit3.registry import TRANSFORMS
from mmbeit3.tasks.names import read_names

__all__ = ["VQALabels", "soft_score"]

_SCORES = (0.0, 0.3, 0.6, 0.9, 1.0)


def soft_score(count: int) -> float:
    """Target of an answer that so many of ten people gave: 0.3, 0.6, 0.9, and 1.0 from four on."""
    return _SCORES[min(count, 4)]


@TRANSFORMS.register_module()
class VQALabels(BaseTransform):
    """Add ``labels`` (n,), int64, and ``scores`` (n,), float32: which answers of the list people gave, and their targets.

    Answers are looked up as they stand in the annotations, as in the reference. Both are empty where none is in the list, or
    the split has no answers.

    Args:
        answers: file with the list, see :func:`~mmbeit3.tasks.names.read_names`; the model's.
        drop_unlabelled: for training: give None for a question without labels, so that the dataset draws another in its
            place. The reference leaves such questions out.

    Raises:
        UserError: if the file cannot be used.
    """

    def __init__(self, answers: str, drop_unlabelled: bool = False) -> None:
        self.labels = {answer: label for label, answer in enumerate(read_names(answers, "answers"))}
        self.drop_unlabelled = drop_unlabelled

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Add the targets of ``results['gt_answers']``, a list of raw answers, one of each person."""
        counts = Counter(answer for answer in results["gt_answers"] if answer in self.labels)
        if self.drop_unlabelled and not counts:
            return None
        results["labels"] = torch.tensor([self.labels[answer] for answer in counts], dtype=torch.int64)
        results["scores"] = torch.tensor([soft_score(count) for count in counts.values()], dtype=torch.float32)
        return results
