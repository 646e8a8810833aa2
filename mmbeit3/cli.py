"""Shared parts of the command-line tools: errors in one line, and ``--cfg-options``."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from mmbeit3.errors import UserError, one_line
from mmbeit3.extras import explain
from mmbeit3.threads import limit_spinning

__all__ = ["OptionsAction", "add_evaluation_arguments", "add_run_arguments", "next_command", "run"]


def run(main: Callable[[], None]) -> None:
    """Run a tool's main function and report errors in one line.

    Import slow or optional packages inside the main function: ``--help`` is fast then, and :func:`limit_spinning` comes before
    PyTorch. A :class:`~mmbeit3.errors.UserError` or a missing package is printed to stderr with exit code 2, after the
    traceback if ``MMBEIT3_TRACEBACK=1`` is set. Ctrl-C gives one line and exit code 130, also in the middle of an import; a
    second Ctrl-C ends the process at once.
    """
    limit_spinning()
    for stream in (sys.stdout, sys.stderr):
        # File names may contain bytes that are not valid UTF-8.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    interruption = _Interruption()
    interruption.install()
    try:
        main()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or (interruption.count and not isinstance(error, SystemExit)):
            # An import that Ctrl-C stopped may raise any error.
            reason = str(error) if isinstance(error, KeyboardInterrupt) else ""
            print(reason or "interrupted before anything was done", file=sys.stderr)
            sys.exit(130)
        _report(error)
        raise
    finally:
        if not interruption.count:
            interruption.uninstall()


def _report(error: BaseException) -> None:
    """Print the line of an error that the user can fix, and exit. Do nothing for other errors."""
    if isinstance(error, UserError):
        if os.environ.get("MMBEIT3_TRACEBACK") == "1":
            traceback.print_exc()
        print(f"error: {_last_line(error)}", file=sys.stderr)
        sys.exit(2)
    reason = explain(error) if isinstance(error, ImportError) else None
    if reason is not None:
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)


class _Interruption:
    """Handler of Ctrl-C: the first raises KeyboardInterrupt, a second ends the process.

    Processes that are forked, such as workers of a data loader, get the signal too. They ignore it: the main process ends them,
    and they would print tracebacks.

    Attributes:
        count: number of signals so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._process = os.getpid()
        self._before: Any = None

    def install(self) -> None:
        """Handle the signal, unless it is ignored, as in programs that ``nohup`` starts."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            self._before = signal.signal(signal.SIGINT, self._handle)

    def uninstall(self) -> None:
        """Restore the handler that was there before."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return
        self.count += 1
        if self.count > 1:
            os._exit(130)
        raise KeyboardInterrupt


def next_command(tool: str, *arguments: str) -> str:
    """Return the command line of another tool, in the form in which this one was started.

    Args:
        tool: its name, such as ``test``.
        *arguments: arguments; words in capitals are for the user to replace.
    """
    started = Path(sys.argv[0])
    if started.is_absolute() or started.suffix != ".py":
        return shlex.join(["python", "-m", "mmbeit3", tool, *arguments])
    return shlex.join(["python", str(started.with_name(f"{tool}.py")), *arguments])


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing share: work directory, changed settings, launcher and local rank."""
    parser.add_argument("--work-dir", help="folder for logs and checkpoints (work_dirs/CONFIG)")
    parser.add_argument("--cfg-options", nargs="+", action=OptionsAction, help="settings to change, as name=value")
    parser.add_argument("--verbose", action="store_true", help="print MMEngine's whole log instead of few lines")
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by the launcher")


def add_evaluation_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the arguments that name the models, the data and the output folder.

    Args:
        parser: changed in place.
        out: default output folder.
    """
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="names of models in the index, or patterns (default: all models with weights and published scores)",
    )
    parser.add_argument("--index", help="model index in OpenMMLab's schema (default: the index of the zoo)")
    parser.add_argument(
        "--data-root",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="data folder, or DATASET=FOLDER (default: the folders in the configs)",
    )
    parser.add_argument(
        "--split", choices=["test", "val"], default="test", help="split of the config to evaluate on (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(out), help="output folder (%(default)s)")
    parser.add_argument("--again", action="store_true", help="evaluate again what was already evaluated")
    parser.add_argument(
        "--in-process",
        action="store_true",
        help="evaluate in this process, for debuggers (default: one process per evaluation)",
    )
    parser.add_argument("--list", action="store_true", help="only print the names of the models")
    parser.add_argument(
        "--cfg-options", nargs="+", action=OptionsAction, default={}, help="config settings to override, as name=value"
    )


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
