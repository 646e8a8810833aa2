"""Log how many samples a metric scored and how many images could not be read."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

__all__ = ["report_scored", "report_unreadable"]


def report_scored(scored: int, given: int, what: str, reasons: dict[str, int]) -> None:
    """Log how many samples are scored and why the others are not; as a warning if any is left out.

    Args:
        scored: number of scored samples.
        given: number of samples that the metric received.
        what: plural noun for the samples, for example ``questions``.
        reasons: reason why samples are not scored, to their number.
    """
    why = "; ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    level = logging.WARNING if scored < given or why else logging.INFO
    print_log(f"{scored} of {given} {what} are scored{f': {why}' if why else ''}", "current", level)


def report_unreadable(count: int, total: int) -> dict[str, float]:
    """Log how many samples have an unreadable image and return the number as a metric; an empty dict if there are none.

    Metrics count these samples as wrong.
    """
    if not count:
        return {}
    print_log(f"{count} of {total} samples have an image that cannot be read; they count as wrong", "current", logging.WARNING)
    return {"unreadable": float(count)}
