"""Compute in at least float32: half precision is widened to float32, float64 stays float64."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

__all__ = ["wide_dtype", "widened"]


def wide_dtype(*tensors: Tensor) -> torch.dtype:
    """Return the common dtype for a computation: float32, or float64 if a tensor has it."""
    return reduce(torch.promote_types, (tensor.dtype for tensor in tensors), torch.float32)


def widened(tensor: Tensor) -> Tensor:
    """Convert half precision and integers to float32. Float32 and float64 tensors are returned unchanged."""
    return tensor.to(wide_dtype(tensor))
