"""Soft targets of VQAv2 questions."""

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
"""Target by number of people (0 to 4) of ten: VQA's accuracy min(count / 3, 1), averaged over the subsets of nine people."""


def soft_score(count: int) -> float:
    """Return the target (0 to 1) of an answer that ``count`` of ten people gave: 0.3, 0.6, 0.9, and 1.0 from four on."""
    return _SCORES[min(count, 4)]


@TRANSFORMS.register_module()
class VQALabels(BaseTransform):
    """Add ``labels`` (n,), int64, the indices of people's answers in the list, and ``scores`` (n,), float32, their targets.

    Answers of the list and of people are both normalised as in VQA's evaluation, see
    :func:`~mmbeit3.text.answers.normalize_answer`; the reference compares them without normalisation. ``labels`` is empty if no
    answer is in the list, or the split has no answers.

    Args:
        answers: file with the model's list of answers, see :func:`~mmbeit3.text.names.read_names`.
        drop_unlabelled: return None for a question without labels, so that the dataset draws another one. Use it for training;
            the reference leaves such questions out.
        min_labelled: share (0 to 1) of a dataset's questions that must have a label, see :meth:`check`.

    Raises:
        UserError: if the file cannot be read, or two of its answers are equal after normalisation.
    """

    def __init__(self, answers: str, drop_unlabelled: bool = False, min_labelled: float = 0.5) -> None:
        self.answers = answers
        self.labels: dict[str, int] = {}
        names = read_names(answers, "answers")
        for label, answer in enumerate(names):
            first = self.labels.setdefault(normalize_answer(answer), label)
            if first != label:
                raise UserError(
                    f"answers '{answers}': '{names[first]}' and '{answer}' are equal to VQA's evaluation: remove one of them"
                )
        self.drop_unlabelled = drop_unlabelled
        self.min_labelled = min_labelled
        self._normalized: dict[str, str] = {}

    def check(self, answered: Sequence[Sequence[str]], where: str) -> None:
        """Log how many of a dataset's questions have a label, and check that there are enough.

        Args:
            answered: people's answers to each question.
            where: name of the data, for the message.

        Raises:
            UserError: if the share of questions with a label is below ``min_labelled``.
        """
        count = sum(bool(self._count(people)) for people in answered)
        total = sum(map(bool, answered))
        if not total and not self.drop_unlabelled:
            return
        message = f"{where}: {count} of {len(answered)} questions have an answer in the list '{self.answers}'"
        if count < self.min_labelled * len(answered) or not count:
            raise UserError(
                f"{message}, less than min_labelled={self.min_labelled:g}: build the list from these annotations with "
                "tools/build_answers.py, or lower min_labelled of VQALabels"
            )
        dropped = " (the others are left out)" if self.drop_unlabelled and count < len(answered) else ""
        print_log(f"{message}, {100 * count / len(answered):.1f}%{dropped}", "current")

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Add the targets of ``results['gt_answers']``, a list with each person's raw answer."""
        counts = self._count(results["gt_answers"])
        if self.drop_unlabelled and not counts:
            return None
        results["labels"] = torch.tensor([self.labels[answer] for answer in counts], dtype=torch.int64)
        results["scores"] = torch.tensor([soft_score(count) for count in counts.values()], dtype=torch.float32)
        return results

    def _count(self, people: Sequence[str]) -> Counter[str]:
        """Count the people who gave each answer of the list. Normalised answers are cached."""
        for answer in people:
            if answer not in self._normalized:
                self._normalized[answer] = normalize_answer(answer)
        return Counter(text for answer in people if (text := self._normalized[answer]) in self.labels)
