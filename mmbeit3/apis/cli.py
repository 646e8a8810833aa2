"""What the command-line tools share."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable

from mmbeit3.errors import UserError
from mmbeit3.extras import explain

__all__ = ["run"]


def run(main: Callable[[], None]) -> None:
    """Run a tool's main function, which imports what takes long or may be missing.

    An error of the user's input ends it in one line on stderr and exit code 2; with ``MMBEIT3_TRACEBACK=1`` in the environment
    the traceback comes before. Ctrl-C ends it in one line and exit code 130.
    """
    for stream in (sys.stdout, sys.stderr):
        # Names of files may have bytes that are no letters.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except UserError as error:
        if os.environ.get("MMBEIT3_TRACEBACK") == "1":
            traceback.print_exc()
        print(f"error: {_last_line(error)}", file=sys.stderr)
        sys.exit(2)
    except ImportError as error:
        reason = explain(error)
        if reason is None:
            raise
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        print(str(error) or "interrupted", file=sys.stderr)
        sys.exit(130)


def _last_line(error: UserError) -> str:
    """The message itself: one from a data loader's worker comes with the worker's traceback before it."""
    return str(error).strip().splitlines()[-1].removeprefix(f"{UserError.__module__}.{UserError.__qualname__}: ")
