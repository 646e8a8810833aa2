"""One row of the table of a benchmark."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.timing import Timing

__all__ = ["Row"]


@dataclass
class Row:
    """Measurements of one contender in one case; ``None`` for values that were not measured.

    Attributes:
        case: name of the case.
        contender: name of the contender.
        dtype: name of the dtype.
        median_ms: median of the durations in milliseconds.
        low_ms: first quartile of the durations in milliseconds.
        high_ms: third quartile of the durations in milliseconds.
        rounds: number of durations.
        ratio: median divided by the median of the first contender; above 1, the first contender is faster.
        gflop: 10^9 floating-point operations of the case, counted on the first contender.
        peak_fraction: operations per median time, as a fraction of the measured peak of matrix products in this dtype.
        floor_ms: milliseconds to move the lower bound of bytes at the measured bandwidth.
        memory_mb: peak memory of the first step in 10^6 bytes, without ``held_mb``.
        memory_ratio: ``memory_mb`` divided by that of the first contender.
        held_mb: 10^6 bytes that the measuring process held before the step (weights, and libraries on a CPU).
        cold_s: duration of the first step in seconds; in a process of its own, except on a GPU.
        images_per_s: images per second at the median.
        output_deviation: largest :func:`~benchmarks.cases.deviation` of an output from the expected one.
        gradient_deviation: largest deviation of a gradient.
        host_ms: milliseconds until the call returns to the host, which launches kernels without waiting for them.
        device_ms: milliseconds in which the GPU executes kernels of a call.
        note: reason for missing values, or another remark.
    """

    case: str
    contender: str
    dtype: str
    median_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    rounds: int = 0
    ratio: float | None = None
    gflop: float | None = None
    peak_fraction: float | None = None
    floor_ms: float | None = None
    memory_mb: float | None = None
    memory_ratio: float | None = None
    held_mb: float | None = None
    cold_s: float | None = None
    images_per_s: float | None = None
    output_deviation: float | None = None
    gradient_deviation: float | None = None
    host_ms: float | None = None
    device_ms: float | None = None
    note: str = ""

    def add_timing(self, timing: Timing, ours: Timing | None, flops: int, peak: float, images: int = 0) -> None:
        """Fill in the values that follow from durations.

        Args:
            timing: durations of this contender.
            ours: durations of the first contender of the case; None if it could not be timed.
            flops: floating-point operations of the case.
            peak: peak speed of matrix products in GFLOP/s.
            images: number of images that a call computes.
        """
        low, high = timing.quartiles
        self.median_ms, self.low_ms, self.high_ms = 1e3 * timing.median, 1e3 * low, 1e3 * high
        self.rounds = len(timing.seconds)
        self.ratio = timing.median / ours.median if ours else None
        self.gflop = flops / 1e9
        self.peak_fraction = self.gflop / timing.median / peak
        self.images_per_s = images / timing.median if images else None

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that JSON can hold."""
        return asdict(self)
