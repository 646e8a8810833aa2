"""Computing in float32 what comes in half precision, and in float64 what comes in float64."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

__all__ = ["wide_dtype", "widened"]


def wide_dtype(*tensors: Tensor) -> torch.dtype:
    """The type to compute tensors in together: float32, or float64 if one of them is."""
    return reduce(torch.promote_types, (tensor.dtype for tensor in tensors), torch.float32)


def widened(tensor: Tensor) -> Tensor:
    """A tensor in :func:`wide_dtype`: half precision and integers become float32, float32 and float64 stay as they are."""
    return tensor.to(wide_dtype(tensor))
