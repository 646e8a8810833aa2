"""Tensors that are loaded on demand, so that files larger than memory can be rewritten one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["LazyTensor", "Value", "lift"]


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is loaded on demand.

    Attributes:
        like: tensor of the same shape and dtype on the ``meta`` device.
        load: function that returns the tensor. The result is not cached.
    """

    like: Tensor
    load: Callable[[], Tensor]

    @property
    def shape(self) -> torch.Size:
        """Shape of the tensor."""
        return self.like.shape

    @property
    def dtype(self) -> torch.dtype:
        """Type of the tensor's elements."""
        return self.like.dtype


Value = TypeVar("Value", Tensor, LazyTensor)


def lift(function: Callable[[Sequence[Tensor]], list[Tensor]], parts: Sequence[Value]) -> list[Value]:
    """Apply a function to tensors. For lazy tensors, the sizes are computed now and the values on loading."""
    lazy = [part for part in parts if isinstance(part, LazyTensor)]
    if len(lazy) != len(parts):
        return function(parts)  # type: ignore[arg-type, return-value]

    def result(index: int, like: Tensor) -> LazyTensor:
        return LazyTensor(like, lambda: function([part.load() for part in lazy])[index])

    return [result(index, like) for index, like in enumerate(function([part.like for part in lazy]))]  # type: ignore[misc]
