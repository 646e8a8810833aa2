"""Warnings of mmbeit3 from MMEngine's loggers, printed on the terminal of a quiet command."""

from __future__ import annotations

import logging
import sys
from types import FrameType

from mmengine.logging import MMLogger

from mmbeit3.terminal import current_terminal

__all__ = ["watch_logger"]


class _OwnWarnings(logging.Handler):
    """Print warnings of mmbeit3, and errors of any package, to the terminal of the command."""

    def emit(self, record: logging.LogRecord) -> None:
        terminal = current_terminal()
        if terminal is None or (record.levelno < logging.ERROR and not _logged_by_mmbeit3()):
            return
        terminal.warn(f"{record.levelname.lower()}: {record.getMessage()}")


def _logged_by_mmbeit3() -> bool:
    """Return True if the code that logs is of mmbeit3. MMEngine's ``print_log`` hides the caller from the record."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(("logging", "mmengine.logging")) and name != __name__:
            return bool(name.partition(".")[0] == "mmbeit3")
        frame = frame.f_back
    return False


def watch_logger(logger: MMLogger) -> None:
    """Print a logger's warnings on the terminal of a quiet command, and divert other output to its log file if it has one.

    Without :func:`~mmbeit3.terminal.quiet_terminal`, nothing happens.
    """
    terminal = current_terminal()
    if terminal is None:
        return
    files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    if files:
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.CRITICAL + 1)
        terminal.divert_to(lambda text: _append(files[0], text))
    if not any(isinstance(handler, _OwnWarnings) for handler in logger.handlers):
        logger.addHandler(_OwnWarnings(logging.WARNING))


def _append(handler: logging.FileHandler, text: str) -> None:
    handler.acquire()
    try:
        if handler.stream is not None and not handler.stream.closed:
            handler.stream.write(text)
            handler.stream.flush()
    finally:
        handler.release()
