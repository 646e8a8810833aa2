"""What metrics do about images that could not be read: count them as wrong, and say how many there were."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

__all__ = ["report_unreadable"]


def report_unreadable(count: int, total: int) -> dict[str, float]:
    """Log how many samples have an image that could not be read, and give the number as a metric; nothing if there are none."""
    if not count:
        return {}
    print_log(f"{count} of {total} samples have an image that cannot be read; they count as wrong", "current", logging.WARNING)
    return {"unreadable": float(count)}
