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

__all__ = ["OptionsAction", "add_run_arguments", "run"]


def run(main: Callable[[], None]) -> None:
    """Run a tool's main function and report errors in one line.

    Import slow or optional packages inside the main function. A :class:`~mmbeit3.errors.UserError` or a missing package is
    printed to stderr with exit code 2, after the traceback if ``MMBEIT3_TRACEBACK=1`` is set. Ctrl-C gives exit code 130.
    """
    for stream in (sys.stdout, sys.stderr):
        # File names may contain bytes that are not valid UTF-8.
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


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing share: work directory, changed settings, launcher and local rank."""
    parser.add_argument("--work-dir", help="folder for logs and checkpoints (work_dirs/CONFIG)")
    parser.add_argument("--cfg-options", nargs="+", action=OptionsAction, help="settings to change, as name=value")
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by the launcher")


class OptionsAction(argparse.Action):
    """Parse ``--cfg-options NAME=VALUE`` as MMEngine does, and report a value that cannot be parsed as a command line error.

    MMEngine is imported only if the option is used.
    """

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Store the names and values in the namespace."""
        from mmengine.config import DictAction

        read = DictAction(self.option_strings, self.dest)
        for value in values:
            if "=" not in value:
                raise argparse.ArgumentError(self, f"'{value}' does not have the form NAME=VALUE")
            try:
                read(parser, namespace, [value], option_string)
            except Exception as error:
                raise argparse.ArgumentError(
                    self, f"'{value}' cannot be parsed ({type(error).__name__}: {one_line(error)}): write it into a config"
                ) from error


def _last_line(error: UserError) -> str:
    """Return the message only. Errors from a data loader's worker have the worker's traceback before it."""
    return str(error).strip().splitlines()[-1].removeprefix(f"{UserError.__module__}.{UserError.__qualname__}: ")
