"""Shared parts of the command-line tools: errors in one line, and ``--cfg-options``."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from mmbeit3.errors import UserError, one_line
from mmbeit3.extras import explain

__all__ = ["OptionsAction", "run"]


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


class OptionsAction(argparse.Action):
    """MMEngine's reading of ``--cfg-options NAME=VALUE``, where a value that it cannot read is an error of the command line.

    MMEngine is imported when there is something to read.
    """

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Put names and values into the namespace."""
        from mmengine.config import DictAction

        read = DictAction(self.option_strings, self.dest)
        for value in values:
            if "=" not in value:
                raise argparse.ArgumentError(self, f"'{value}' is not of the form NAME=VALUE")
            try:
                read(parser, namespace, [value], option_string)
            except Exception as error:
                raise argparse.ArgumentError(
                    self, f"'{value}' cannot be read ({type(error).__name__}: {one_line(error)}): write it into a config"
                ) from error


def _last_line(error: UserError) -> str:
    """The message itself: one from a data loader's worker comes with the worker's traceback before it."""
    return str(error).strip().splitlines()[-1].removeprefix(f"{UserError.__module__}.{UserError.__qualname__}: ")
