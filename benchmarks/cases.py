"""What is measured: cases, and the contenders that compute the same thing in different ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["OURS", "Case", "Contender", "Step", "Unavailable", "deviation"]

OURS = "mmbeit3"
"""What the names of our own contenders start with."""

Step = Callable[[], Sequence[Tensor]]
"""One call of what is measured; returns what all contenders of a case must agree on."""


class Unavailable(Exception):  # noqa: N818  (an answer more than an error)
    """A contender cannot take part here; the message says in one line what it needs."""


@dataclass(frozen=True)
class Contender:
    """One way to compute a case.

    Attributes:
        name: its name.
        make: builds it and returns its step. With True it holds the same weights as the case's first contender; with False
            weights of its own will do, and nothing else is built on the way (for measuring memory). Raises
            :class:`Unavailable`.
    """

    name: str
    make: Callable[[bool], Step]


@dataclass(frozen=True)
class Case:
    """Something to compute, and who computes it.

    Attributes:
        name: what it is, with its sizes.
        dtype: name of the type that it is computed in.
        contenders: the first is the measure of all ratios.
        timed: whether durations are measured.
        memory: whether peak memory is measured.
        bytes_moved: the least that must go through memory, in bytes; 0 where that says nothing.
    """

    name: str
    dtype: str
    contenders: Sequence[Contender]
    timed: bool = True
    memory: bool = False
    bytes_moved: int = 0

    @property
    def tolerance(self) -> float:
        """The largest :func:`deviation` of contenders that compute the same."""
        return 1e-3 if self.dtype == "float32" else 5e-2


def deviation(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> float:
    """Say how far results are apart.

    Args:
        expected: tensors of any shapes.
        actual: as many, of the same shapes.

    Returns:
        The largest norm of a difference as a fraction of the norm of what was expected; infinity where shapes differ or
        something is not a number.
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
