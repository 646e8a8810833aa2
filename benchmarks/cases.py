"""Cases to measure, and the contenders that compute the same case in different ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "EXACT_TOLERANCE",
    "OURS",
    "Case",
    "Contender",
    "Deviations",
    "Results",
    "Step",
    "Unavailable",
    "compare",
    "deviation",
]

EXACT_TOLERANCE = 1e-3
"""Largest :func:`deviation` of results in float32."""

OURS = "mmbeit3"
"""Prefix of the names of mmbeit3's contenders."""

Step = Callable[[], Sequence[Tensor]]
"""The measured call; it returns the tensors on which all contenders of a case must agree, as :class:`Results` if some of them
are gradients."""


class Results(list[Tensor]):
    """Tensors of a step: the outputs, then the gradients, so that both can be compared separately.

    Args:
        outputs: outputs of the forward pass.
        gradients: gradients of the backward pass.
    """

    def __init__(self, outputs: Iterable[Tensor], gradients: Iterable[Tensor] = ()) -> None:
        self.outputs = list(outputs)
        self.gradients = list(gradients)
        super().__init__([*self.outputs, *self.gradients])


class Deviations(NamedTuple):
    """Largest relative differences of a step from the expected one, see :func:`deviation`.

    Attributes:
        outputs: of the outputs.
        gradients: of the gradients; None if the step has none.
    """

    outputs: float
    gradients: float | None = None


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
        exact: builds the same contender in float32. Give it where discrete choices (assignments, sampled points) make results
            in half precision incomparable: the outputs and gradients of these steps are then compared, and in half precision
            only the outputs.
    """

    name: str
    make: Callable[[bool], Step]
    exact: Callable[[], Step] | None = None


@dataclass(frozen=True)
class Case:
    """A computation and its contenders.

    Attributes:
        name: name of the computation, with its sizes.
        dtype: name of the dtype.
        contenders: contenders; ratios are relative to the first one.
        reference: builds the step of the first contender in float32. In half precision, every contender is compared with it;
            without it, and in float32, with the first contender.
        timed: True to measure durations.
        memory: True to measure peak memory.
        bytes_moved: lower bound of the bytes that go through memory; 0 if there is no useful bound.
        images: number of images that a call computes; 0 if it does not compute images.
        half_tolerance: largest :func:`deviation` in half precision.
    """

    name: str
    dtype: str
    contenders: Sequence[Contender]
    reference: Callable[[], Step] | None = None
    timed: bool = True
    memory: bool = False
    bytes_moved: int = 0
    images: int = 0
    half_tolerance: float = 5e-2

    @property
    def tolerance(self) -> float:
        """Largest :func:`deviation` at which two results count as the same."""
        return EXACT_TOLERANCE if self.dtype == "float32" else self.half_tolerance


def compare(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> Deviations:
    """Return the deviations of outputs and of gradients; a sequence that is not :class:`Results` has only outputs."""
    if isinstance(expected, Results) and isinstance(actual, Results) and (expected.gradients or actual.gradients):
        return Deviations(deviation(expected.outputs, actual.outputs), deviation(expected.gradients, actual.gradients))
    return Deviations(deviation(expected, actual))


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
