"""Time limits for work that may take too long, such as the compilation of a network."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType

__all__ = ["TimeLimit"]

_REPEAT = 1.0
"""Seconds after which a limit stops the work again, if the work has swallowed the first exception."""

_active: list[TimeLimit] = []


class _OutOfTime(BaseException):
    """Stops the work of a limit. Not an ``Exception``, because compilers catch those and continue."""

    def __init__(self, limit: TimeLimit) -> None:
        super().__init__(f"stopped after {limit.seconds:g} s")
        self.limit = limit


class TimeLimit:
    """A context manager that leaves its block when the time is up; limits may be nested.

    It stops Python code only: a call into C++ ends first. Outside of the main thread of a Unix process it does nothing.

    Args:
        seconds: the limit; 0 for none.

    Attributes:
        expired: True if the block was left early.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.expired = False
        self._works = seconds > 0 and hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
        self._deadline = 0.0

    def __enter__(self) -> TimeLimit:
        if self._works:
            self._deadline = time.monotonic() + self.seconds
            if not _active:
                signal.signal(signal.SIGALRM, _stop)
            _active.append(self)
            _set_alarm()
        return self

    @property
    def passed(self) -> bool:
        """True if the time is up, also if the work turned the stop into an error of its own."""
        return self._works and time.monotonic() >= self._deadline

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if self._works:
            _active.remove(self)
            _set_alarm()
        self.expired = isinstance(error, _OutOfTime) and error.limit is self
        return self.expired


def _stop(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    for limit in _active:
        if now >= limit._deadline:
            raise _OutOfTime(limit)


def _set_alarm() -> None:
    """Set the timer to the earliest deadline of the active limits, or stop it."""
    if not _active:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return
    left = min(limit._deadline for limit in _active) - time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, max(left, 1e-3), _REPEAT)
