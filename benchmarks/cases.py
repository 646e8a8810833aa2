"""Cases to measure, and the contenders that compute the same case in different ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["OURS", "Case", "Contender", "Step", "Unavailable", "deviation"]

OURS = "mmbeit3"
"""Prefix of the names of mmbeit3's contenders."""

Step = Callable[[], Sequence[Tensor]]
"""The measured call; it returns the tensors on which all contenders of a case must agree."""


class Unavailable(Exception):  # noqa: N818  (an expected result, not an error)
    """A contender cannot run on this machine; the message names in one line what it needs."""


@dataclass(frozen=True)
class Contender:
    """One way to compute a case.

    Attributes:
        name: name of the contender.
        make: builds the contender and returns its step. With True, it gets the weights of the first contender of the case. With
            False, it may have other weights, and nothing else is built, so that memory can be measured. Raises
            :class:`Unavailable`.
    """

    name: str
    make: Callable[[bool], Step]


@dataclass(frozen=True)
class Case:
    """A computation and its contenders.

    Attributes:
        name: name of the computation, with its sizes.
        dtype: name of the dtype.
        contenders: contenders; ratios are relative to the first one.
        timed: True to measure durations.
        memory: True to measure peak memory.
        bytes_moved: lower bound of the bytes that go through memory; 0 if there is no useful bound.
    """

    name: str
    dtype: str
    contenders: Sequence[Contender]
    timed: bool = True
    memory: bool = False
    bytes_moved: int = 0

    @property
    def tolerance(self) -> float:
        """Largest :func:`deviation` at which two results count as the same."""
        return 1e-3 if self.dtype == "float32" else 5e-2


def deviation(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> float:
    """Return the largest relative difference between expected and actual tensors.

    Args:
        expected: tensors of any shapes.
        actual: the same number of tensors, of the same shapes.

    Returns:
        Norm of the difference divided by the norm of the expected tensor, the largest over all tensors; infinity if shapes
        differ or a value is NaN or infinite.
    """
    if [tensor.shape for tensor in expected] != [tensor.shape for tensor in actual]:
        return float("inf")
    largest = 0.0
    for ours, theirs in zip(expected, actual, strict=True):
        reference = ours.double()
        norm = torch.linalg.vector_norm(reference)
        apart = torch.linalg.vector_norm(theirs.double() - reference) / norm.clamp_min(1e-30)
        if not torch.isfinite(apart):
            return float("inf")
        largest = max(largest, apart.item())
    return largest
