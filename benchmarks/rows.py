"""A line of a benchmark's table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.timing import Timing

__all__ = ["Row", "short"]


def short(value: float | None) -> str:
    """Return a number in three digits, or in all of those before the point; nothing for ``None``."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


@dataclass
class Row:
    """What is known of one contender in one case; ``None`` where it was not measured.

    Attributes:
        case: what was computed.
        contender: name of the contender.
        dtype: name of the type it was computed in.
        median_ms: middle of the durations in milliseconds.
        low_ms: their first quartile.
        high_ms: their third quartile.
        rounds: how many durations there are.
        ratio: the median as a multiple of our first contender's: how many times faster ours is.
        gflop: 10^9 floating-point operations of the case, counted on ours.
        peak_fraction: these by the median, as a fraction of the machine's measured matrix peak in this type.
        floor_ms: how long moving the least number of bytes would take at the measured bandwidth.
        memory_mb: peak memory in 10^6 bytes above what was held before the step.
        memory_ratio: that as a multiple of our first contender's.
        held_mb: what was held before the step in the process that measured this (weights, and libraries on a CPU).
        cold_s: how long the step took there, the first of its process.
        note: why something is missing, or what else there is to say.
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
    note: str = ""

    def add_timing(self, timing: Timing, ours: Timing | None, flops: int, peak: float) -> None:
        """Fill in what durations tell.

        Args:
            timing: of this contender.
            ours: of our first contender in the same case, if it could be timed.
            flops: operations of the case.
            peak: the matrix peak in GFLOP/s.
        """
        low, high = timing.quartiles
        self.median_ms, self.low_ms, self.high_ms = 1e3 * timing.median, 1e3 * low, 1e3 * high
        self.rounds = len(timing.seconds)
        self.ratio = timing.median / ours.median if ours else None
        self.gflop = flops / 1e9
        self.peak_fraction = self.gflop / timing.median / peak

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that JSON can hold."""
        return asdict(self)
