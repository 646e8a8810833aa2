"""What the operators have to say, once."""

from __future__ import annotations

import logging
from functools import cache

__all__ = ["log_once"]


@cache
def log_once(message: str) -> None:
    """Warn through Python's logging, under ``mmbeit3``; the same message only once in a process."""
    logging.getLogger("mmbeit3").warning(message)
