"""What metrics say of how many they scored."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

__all__ = ["report_scored"]


def report_scored(scored: int, given: int, what: str, reasons: dict[str, int]) -> None:
    """Log how many of what was given is scored, and why the rest is not; as a warning if there is a rest.

    Args:
        scored: how many.
        given: of how many.
        what: what is counted, in the plural.
        reasons: what keeps others from being scored, and how many of them.
    """
    why = "; ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    level = logging.WARNING if scored < given or why else logging.INFO
    print_log(f"{scored} of {given} {what} are scored{f': {why}' if why else ''}", "current", level)
