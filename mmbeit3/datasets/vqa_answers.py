"""The list of answers that a model of VQAv2 chooses from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmbeit3.datasets.annotations import read_json, take
from mmbeit3.errors import UserError
from mmbeit3.files import write_atomically
from mmbeit3.text.answers import normalize_answer

__all__ = ["build_answers", "write_answers"]


def build_answers(annotations: Iterable[str | Path], least: int = 9) -> list[str]:
    """The answers that a model of VQAv2 chooses from, by the reference's rule.

    Each question's most frequent answer (``multiple_choice_answer``), normalised, that occurs often enough; in the order of
    first appearance. The official train and val annotations, in this order, give the 3129 of the released models.

    Args:
        annotations: official annotation files; their order counts.
        least: how often an answer must occur in all of them.

    Raises:
        UserError: if a file is no such annotation file, or no answer is frequent enough.
    """
    counts: Counter[str] = Counter()
    for path in annotations:
        for number, entry in enumerate(take(read_json(path), "annotations", list, f"'{path}'")):
            counts[normalize_answer(take(entry, "multiple_choice_answer", str, f"'{path}', annotation {number}"))] += 1
    answers = [answer for answer, count in counts.items() if count >= least]
    if not answers:
        raise UserError(f"no answer occurs {least} times among {counts.total()} annotations: lower the threshold or add files")
    return answers


def write_answers(answers: Sequence[str], path: str | Path) -> None:
    """Write answers as the reference does, ``{"answer": ..., "label": ...}`` a line. Model and dataset both read the file.

    Raises:
        UserError: if the file cannot be written.
    """
    lines = [json.dumps({"answer": answer, "label": label}) for label, answer in enumerate(answers)]
    write_atomically(path, ("\n".join(lines) + "\n").encode())
