"""Log a warning of the operators once."""

from __future__ import annotations

import logging
from functools import cache

__all__ = ["log_once"]


@cache
def log_once(message: str) -> None:
    """Log a warning under the logger ``mmbeit3``, once per process and message."""
    logging.getLogger("mmbeit3").warning(message)
