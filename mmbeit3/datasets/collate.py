"""Collate function of the image-text tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmbeit3.errors import UserError
from mmbeit3.registry import FUNCTIONS
from mmbeit3.text.tokenizer import TextTokenizer

__all__ = ["collate_samples"]


@FUNCTIONS.register_module()
def collate_samples(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Collate samples from :class:`~mmbeit3.datasets.task_transforms.PackTask` into a batch.

    Args:
        samples: dicts with ``inputs`` and ``data_samples``. Inputs are images (3, H, W) and ``tokens`` (T,). In the evaluation
            of retrieval some samples have only an image, others only tokens.

    Returns:
        ``inputs``: images stacked to (B, 3, H, W); ``tokens`` (B', T), padded on the right; and ``padding_mask`` (B', T), True
        for padding. Each contains only the samples that have it, in order. ``data_samples``: a list.

    Raises:
        UserError: if images of a batch differ in size.
    """
    inputs: dict[str, Tensor] = {}
    for name in dict.fromkeys(name for sample in samples for name in sample["inputs"]):
        values = [sample["inputs"][name] for sample in samples if name in sample["inputs"]]
        if name == "tokens":
            inputs["tokens"] = pad_sequence(values, batch_first=True, padding_value=TextTokenizer.pad_id)
            lengths = torch.tensor([len(tokens) for tokens in values])
            inputs["padding_mask"] = torch.arange(inputs["tokens"].shape[1]) >= lengths[:, None]
        else:
            if len(shapes := {tuple(value.shape) for value in values}) > 1:
                raise UserError(
                    f"images of a batch have different shapes {sorted(shapes)}: add a Resize to one size to the pipeline"
                )
            inputs[name] = torch.stack(values)
    return {"inputs": inputs, "data_samples": [dict(sample["data_samples"]) for sample in samples]}
