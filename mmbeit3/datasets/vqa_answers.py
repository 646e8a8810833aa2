"""List of answers that a VQAv2 model chooses from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmbeit3.datasets.annotations import get_field, read_json
from mmbeit3.errors import UserError
from mmbeit3.files import write_atomically
from mmbeit3.text.answers import normalize_answer

__all__ = ["build_answers", "write_answers"]


def build_answers(annotations: Iterable[str | Path], min_count: int = 9) -> list[str]:
    """Build the list of answers that a VQAv2 model chooses from, by the reference's rule.

    The list has the normalised most frequent answer (``multiple_choice_answer``) of each question, if it occurs at least
    ``min_count`` times, in the order of first appearance. The official train and val annotations, in this order, give the 3129
    answers of the released models.

    Args:
        annotations: official annotation files. Their order sets the order of the answers.
        min_count: how often an answer must occur in all files together.

    Raises:
        UserError: if a file is not an annotation file of VQAv2, or no answer is frequent enough.
    """
    counts: Counter[str] = Counter()
    for path in annotations:
        for number, entry in enumerate(get_field(read_json(path), "annotations", list, f"'{path}'")):
            counts[normalize_answer(get_field(entry, "multiple_choice_answer", str, f"'{path}', annotation {number}"))] += 1
    answers = [answer for answer, count in counts.items() if count >= min_count]
    if not answers:
        raise UserError(
            f"no answer occurs {min_count} times among {counts.total()} annotations: lower --min-count, or add files"
        )
    return answers


def write_answers(answers: Sequence[str], path: str | Path) -> None:
    """Write answers in the reference's format, one ``{"answer": ..., "label": ...}`` per line. Model and dataset read it.

    Raises:
        UserError: if the file cannot be written.
    """
    lines = [json.dumps({"answer": answer, "label": label}) for label, answer in enumerate(answers)]
    write_atomically(path, ("\n".join(lines) + "\n").encode())
