"""Soft targets of VQAv2's questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mmbeit3.errors import UserError
from mmbeit3.registry import TRANSFORMS
from mmbeit3.text.answers import normalize_answer
from mmbeit3.text.names import read_names

__all__ = ["VQALabels", "soft_score"]

_SCORES = (0.0, 0.3, 0.6, 0.9, 1.0)


def soft_score(count: int) -> float:
    """Target of an answer that so many of ten people gave: 0.3, 0.6, 0.9, and 1.0 from four on."""
    return _SCORES[min(count, 4)]


@TRANSFORMS.register_module()
class VQALabels(BaseTransform):
    """Add ``labels`` (n,), int64, and ``scores`` (n,), float32: which answers of the list people gave, and their targets.

    Both sides are compared in the form in which VQA's evaluation compares answers, see
    :func:`~mmbeit3.datasets.vqa_answers.normalize_answer`; the reference compares them as they stand. Labels are empty where no
    answer is in the list, or the split has no answers.

    Args:
        answers: file with the list, see :func:`~mmbeit3.text.names.read_names`; the model's.
        drop_unlabelled: for training: give None for a question without labels, so that the dataset draws another in its
            place. The reference leaves such questions out.
        least_labelled: share (0 to 1) of a dataset's questions that must have a label, see :meth:`check`.

    Raises:
        UserError: if the file cannot be used, or two of its answers are the same to VQA's evaluation.
    """

    def __init__(self, answers: str, drop_unlabelled: bool = False, least_labelled: float = 0.5) -> None:
        self.answers = answers
        self.labels: dict[str, int] = {}
        names = read_names(answers, "answers")
        for label, answer in enumerate(names):
            first = self.labels.setdefault(normalize_answer(answer), label)
            if first != label:
                raise UserError(
                    f"answers '{answers}': '{names[first]}' and '{answer}' are the same to VQA's evaluation: give one of them"
                )
        self.drop_unlabelled = drop_unlabelled
        self.least_labelled = least_labelled
        self._normalized: dict[str, str] = {}

    def check(self, answered: Sequence[Sequence[str]], where: str) -> None:
        """Log how many of a dataset's questions have a label, and refuse too few.

        Args:
            answered: people's answers to each question.
            where: what to call the data.

        Raises:
            UserError: if a smaller share than ``least_labelled`` has any.
        """
        count = sum(bool(self._count(people)) for people in answered)
        total = sum(map(bool, answered))
        if not total and not self.drop_unlabelled:
            return
        said = f"{where}: {count} of {len(answered)} questions have an answer of the list '{self.answers}'"
        if count < self.least_labelled * len(answered) or not count:
            raise UserError(
                f"{said}, fewer than least_labelled={self.least_labelled:g} of them: make the list from these annotations by "
                "tools/build_answers.py, or lower least_labelled of VQALabels"
            )
        left = " (the others are left out)" if self.drop_unlabelled and count < len(answered) else ""
        print_log(f"{said}, {100 * count / len(answered):.1f}%{left}", "current")

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Add the targets of ``results['gt_answers']``, a list of raw answers, one of each person."""
        counts = self._count(results["gt_answers"])
        if self.drop_unlabelled and not counts:
            return None
        results["labels"] = torch.tensor([self.labels[answer] for answer in counts], dtype=torch.int64)
        results["scores"] = torch.tensor([soft_score(count) for count in counts.values()], dtype=torch.float32)
        return results

    def _count(self, people: Sequence[str]) -> Counter[str]:
        """How many gave each answer of the list."""
        for answer in people:
            if answer not in self._normalized:
                self._normalized[answer] = normalize_answer(answer)
        return Counter(plain for answer in people if (plain := self._normalized[answer]) in self.labels)
