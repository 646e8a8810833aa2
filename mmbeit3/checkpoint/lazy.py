"""Tensors that are computed when they are wanted, so that files larger than memory can be rewritten one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["LazyTensor", "Value", "lift"]


@dataclass(frozen=True)
class LazyTensor:
    """A tensor's size, and how to get it.

    Attributes:
        like: tensor of the same shape and dtype on the ``meta`` device.
        load: returns the tensor; each call computes it anew.
    """

    like: Tensor
    load: Callable[[], Tensor]

    @property
    def shape(self) -> torch.Size:
        """Its shape."""
        return self.like.shape

    @property
    def dtype(self) -> torch.dtype:
        """Its dtype."""
        return self.like.dtype


Value = TypeVar("Value", Tensor, LazyTensor)


def lift(function: Callable[[Sequence[Tensor]], list[Tensor]], parts: Sequence[Value]) -> list[Value]:
    """Apply a function of tensors at once, or for lazy tensors: their sizes at once and themselves when they are loaded."""
    lazy = [part for part in parts if isinstance(part, LazyTensor)]
    if len(lazy) != len(parts):
        return function(parts)  # type: ignore[arg-type, return-value]

    def result(index: int, like: Tensor) -> LazyTensor:
        return LazyTensor(like, lambda: function([part.load() for part in lazy])[index])

    return [result(index, like) for index, like in enumerate(function([part.like for part in lazy]))]  # type: ignore[misc]
