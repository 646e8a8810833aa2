"""Check that the contenders of a case compute the same: no contender is timed before it was compared."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from benchmarks.cases import EXACT_TOLERANCE, Case, Contender, Deviations, compare
from benchmarks.rows import Row

__all__ = ["DISAGREES", "Check"]

DISAGREES = "computes something else"
"""Start of the note of a contender whose results differ from the expected ones."""


class Check:
    """Comparison of each contender of a case with what is expected.

    In half precision, a float32 run of the first contender is expected (``Case.reference``), so that the rows tell which
    contender is wrong. In float32, or without a reference, it is the result of the first contender that runs.

    Args:
        case: the case; its reference is computed here.

    Raises:
        torch.OutOfMemoryError: if the memory of a GPU is too small for the reference.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.source = "mmbeit3"
        self.expected: Sequence[Tensor] | None = None
        if case.reference is not None and case.dtype != "float32":
            self.source = "float32"
            self.expected = case.reference()()

    def compare(self, contender: Contender, result: Sequence[Tensor], row: Row) -> str:
        """Compare a result with the expected one and write the deviations into the row.

        Args:
            contender: the contender.
            result: result of its step.
            row: the row of the contender.

        Returns:
            A note that says what differs; an empty string if the contender agrees.
        """
        if self.expected is None:
            # The finite values of the first contender are what the others are compared with.
            self.expected = result
            return self._note(compare(result, result), self.case.tolerance, "is not finite")
        exact = contender.exact is not None and self.source == "float32"
        found = compare(self.expected, result)
        if exact:
            found = Deviations(found.outputs)
        row.output_deviation, row.gradient_deviation = found
        note = self._note(found, self.case.tolerance)
        if exact and contender is not self.case.contenders[0] and contender.exact is not None:
            in_float32 = compare(self.expected, contender.exact()())
            row.gradient_deviation = in_float32.gradients
            note = note or self._note(in_float32, EXACT_TOLERANCE, "in float32")
        return note

    def _note(self, found: Deviations, tolerance: float, remark: str = "") -> str:
        # A comparison with NaN is False, so the condition asks for agreement.
        if all(value is None or value <= tolerance for value in found):
            return ""
        parts = [
            f"{name} by {value:.2g}" for name, value in zip(("outputs", "gradients"), found, strict=True) if value is not None
        ]
        what = (
            ", ".join(parts)
            if all(math.isfinite(value) for value in found if value is not None)
            else "values not finite, or shapes"
        )
        return f"{DISAGREES}: {what} from {self.source}, {tolerance:g} allowed{f' ({remark})' if remark else ''}"
