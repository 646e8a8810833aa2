"""What is said of a dataset's texts once it is read: whether its pipeline's vocabulary knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dataset import BaseDataset

from mmbeit3.datasets.checks.files import sample
from mmbeit3.datasets.task_transforms import EncodeText
from mmbeit3.text.tokenizer import report_unknown

__all__ = ["report_entries"]

_SAMPLE = 1000


def report_entries(dataset: BaseDataset, entries: Sequence[Mapping[str, Any]]) -> None:
    """Log which share of a sample of the texts is all unknown to the vocabulary of the dataset's ``EncodeText``, if any is.

    Args:
        dataset: its pipeline is built.
        entries: its entries.
    """
    for step in dataset.pipeline.transforms:
        if isinstance(step, EncodeText):
            texts = [entry[step.key] for entry in sample(entries, _SAMPLE) if isinstance(entry.get(step.key), str)]
            report_unknown(step.tokenizer, texts, f"texts '{step.key}' of {type(dataset).__name__}")
