"""Log of texts in a dataset that the vocabulary of its pipeline does not cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dataset import BaseDataset

from mmbeit3.datasets.checks.files import sample
from mmbeit3.datasets.task_transforms import EncodeText
from mmbeit3.text.tokenizer import report_unknown

__all__ = ["report_unknown_texts"]

_SAMPLE = 1000
"""Number of texts that are looked at."""


def report_unknown_texts(dataset: BaseDataset, entries: Sequence[Mapping[str, Any]]) -> None:
    """Log the share of texts, in a sample, of which the vocabulary of the dataset's ``EncodeText`` has no piece.

    Nothing is logged if every text has a known piece.

    Args:
        dataset: the dataset, whose pipeline is built.
        entries: the dataset's entries.
    """
    for step in dataset.pipeline.transforms:
        if isinstance(step, EncodeText):
            texts = [entry[step.key] for entry in sample(entries, _SAMPLE) if isinstance(entry.get(step.key), str)]
            report_unknown(step.tokenizer, texts, f"texts '{step.key}' of {type(dataset).__name__}")
