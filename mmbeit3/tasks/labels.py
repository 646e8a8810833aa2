"""Labels of single-label classification: read the ground truth, compute the accuracy, add predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmbeit3.errors import UserError
from mmbeit3.ops import widened

__all__ = ["accuracy", "add_predictions", "read_labels"]


def read_labels(data_samples: Sequence[Mapping[str, Any]], num_classes: int, device: torch.device) -> Tensor:
    """Concatenate the ``gt_label`` (1,) of all samples to (B,), int64.

    Raises:
        UserError: if a sample has no label, or a label outside of the model's classes.
    """
    if any("gt_label" not in sample for sample in data_samples):
        raise UserError("samples have no gt_label, which training needs: use a split with labels in its annotations")
    labels = torch.cat([sample["gt_label"] for sample in data_samples]).to(device)
    # One transfer for both numbers: each read from the GPU waits for its queue to finish.
    least, most = torch.stack(labels.aminmax()).tolist()
    if least < 0 or most >= num_classes:
        raise UserError(
            f"gt_label {least if least < 0 else most} is outside of the model's classes 0 to {num_classes - 1}: make the "
            "classes of the model and of the annotations agree"
        )
    return labels


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the fraction (0 to 1) of rows of ``logits`` (B, C) whose largest value is at the label (B,)."""
    return (logits.detach().argmax(dim=-1) == labels).float().mean()


def add_predictions(data_samples: Sequence[Mapping[str, Any]], scores: Tensor) -> list[dict[str, Any]]:
    """Return samples with their row of ``scores`` (B, C) as ``pred_score`` and its argmax ``pred_label`` (1,), on the CPU."""
    rows = widened(scores).cpu()
    return [
        {**sample, "pred_label": row.argmax(dim=0, keepdim=True), "pred_score": row}
        for sample, row in zip(data_samples, rows, strict=True)
    ]
