"""The terminal of a command: few lines of its own; the output of libraries goes to the log file. Imports no other package."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from mmbeit3.errors import UserError

__all__ = ["Terminal", "current_terminal", "format_duration", "quiet_terminal"]

_CURRENT: ContextVar[Terminal | None] = ContextVar("terminal", default=None)

_LONGEST = 1 << 20
"""Number of characters that are kept until there is a log file."""


class Terminal:
    """The real output streams of a command while ``sys.stdout`` and ``sys.stderr`` are diverted.

    Attributes:
        stdout: the real standard output.
        printer: function that prints a line above a progress bar; None while there is no bar.
    """

    def __init__(self) -> None:
        self.stdout: TextIO = sys.stdout
        self.printer: Callable[[str], None] | None = None
        self._stderr: TextIO = sys.stderr
        self._early: list[str] = []
        self._log: Callable[[str], None] | None = None
        self._open = True

    def print(self, *lines: str) -> None:
        """Print lines to the standard output."""
        for line in lines:
            if self.printer is not None:
                self.printer(line)
            else:
                print(line, file=self.stdout, flush=True)

    def warn(self, line: str) -> None:
        """Print a warning to the standard error, or above a progress bar."""
        if self.printer is not None:
            self.printer(line)
        else:
            print(line, file=self._stderr, flush=True)

    def divert_to(self, log: Callable[[str], None]) -> None:
        """Send the output of libraries to a log file: at once what was printed so far, later all else.

        Args:
            log: function that appends text to the file.
        """
        self._log = log
        for text in self._early:
            log(text)
        self._early.clear()

    def divert(self, text: str, stream: TextIO) -> None:
        """Take a library's output. After the command it is printed to the stream as usual."""
        if not self._open:
            stream.write(text)
        elif self._log is not None:
            self._log(text)
        elif sum(map(len, self._early)) < _LONGEST:
            self._early.append(text)

    def close(self, show_early: bool) -> None:
        """Stop diverting.

        Args:
            show_early: print what was diverted before there was a log file.
        """
        self._open = False
        if show_early:
            self._stderr.write("".join(self._early))
        self._early.clear()


class _Diverted(io.TextIOBase):
    """Text stream that gives what is written to a terminal's log."""

    def __init__(self, terminal: Terminal, stream: TextIO) -> None:
        self._terminal, self._stream = terminal, stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the real stream."""
        return self._stream.encoding or "utf-8"

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Divert a text."""
        self._terminal.divert(text, self._stream)
        return len(text)

    def fileno(self) -> int:
        """Return the file descriptor of the real stream, which programs that are started write to."""
        return self._stream.fileno()


def current_terminal() -> Terminal | None:
    """Return the terminal of the enclosing :func:`quiet_terminal`, or None."""
    return _CURRENT.get()


@contextmanager
def quiet_terminal(quiet: bool = True) -> Iterator[None]:
    """Keep the output of libraries off the terminal while a command runs.

    What libraries print, log or warn about goes to the log file as soon as a runner has one. If a bug ends the command before,
    it is printed. Output of C++ code, which does not pass Python's streams, stays on the terminal.

    Args:
        quiet: if False, do nothing.
    """
    if not quiet:
        yield
        return
    terminal = Terminal()
    token = _CURRENT.set(terminal)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Diverted(terminal, stream) for stream in before)
    bug = False
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        bug = True
        raise
    finally:
        sys.stdout, sys.stderr = before
        terminal.close(show_early=bug)
        _CURRENT.reset(token)


def format_duration(seconds: float) -> str:
    """Format a duration with its two largest units: ``45 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    whole = round(seconds)
    for size, name, smaller, unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {unit}" if rest else "")
    return f"{whole} s"
