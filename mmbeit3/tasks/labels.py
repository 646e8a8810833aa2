"""One class a sample: reading it, and saying which one was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmbeit3.errors import UserError
from mmbeit3.ops import widened

__all__ = ["accuracy", "add_predictions", "read_labels"]


def read_labels(data_samples: Sequence[Mapping[str, Any]], num_classes: int, device: torch.device) -> Tensor:
    """Put the ``gt_label`` (1,) of all samples together to (B,), int64.

    Raises:
        UserError: if a sample has no label, or one that is no class of the model.
    """
    if any("gt_label" not in sample for sample in data_samples):
        raise UserError("samples have no gt_label, which training needs: use a split whose annotations tell it")
    labels = torch.cat([sample["gt_label"] for sample in data_samples]).to(device)
    # The two numbers together: each look at a GPU's memory waits for it.
    least, most = torch.stack(labels.aminmax()).tolist()
    if least < 0 or most >= num_classes:
        raise UserError(
            f"gt_label {least if least < 0 else most} is none of the model's {num_classes} classes, which count from 0: make "
            "the model's classes and the annotations agree"
        )
    return labels


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share (0 to 1) of the rows of (B, C) whose greatest value is at the label."""
    return (logits.detach().argmax(dim=-1) == labels).float().mean()


def add_predictions(data_samples: Sequence[Mapping[str, Any]], scores: Tensor) -> list[dict[str, Any]]:
    """The samples with ``pred_score`` (C,), their row of scores (B, C), and ``pred_label`` (1,), its greatest; on the CPU."""
    rows = widened(scores).cpu()
    return [
        {**sample, "pred_label": row.argmax(dim=0, keepdim=True), "pred_score": row}
        for sample, row in zip(data_samples, rows, strict=True)
    ]
