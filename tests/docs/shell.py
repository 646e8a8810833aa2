"""Run the commands of the docs in this process and in a temporary folder."""

import argparse
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from torch.distributed.run import get_args_parser

from mmbeit3.runner.config import read_config
from tests.paths import ROOT


class _AcceptedError(Exception):
    """Raised when a tool has read its arguments."""


def words(command: str) -> list[str]:
    """Split a command into words, without leading environment variables."""
    found = shlex.split(command)
    while "=" in found[0]:
        found.pop(0)
    return found


def run(command: str) -> None:
    """Run a command in the current folder. Tools run in this process, which has already imported everything."""
    first, *arguments = words(command)
    if first == "python" and arguments[0].startswith("tools/"):
        call(arguments[0], arguments[1:])
    else:
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def accept(command: str) -> None:
    """Check that the tool of a command accepts its arguments and that its configs exist, without running it."""
    first, *arguments = words(command)
    if first == "make":
        dry = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert dry.returncode == 0, dry.stderr
    elif first == "pip":
        _accept_install(arguments)
    elif first == "torchrun":
        options = get_args_parser().parse_args(arguments)
        _accept_tool(options.training_script, options.training_script_args)
    elif first == "python" and arguments[0].startswith("tools/"):
        _accept_tool(arguments[0], arguments[1:])
    else:
        raise AssertionError(f"tests/docs/shell.py cannot check '{command}'")


def call(script: str, arguments: list[str], parse_only: bool = False) -> None:
    """Run a script as ``python`` would, or only until it has read its arguments."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse(*args, **kwargs):
        parse_args(*args, **kwargs)
        raise _AcceptedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *arguments])
        if parse_only:
            patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        code = None
        try:
            runpy.run_path(script, run_name="__main__")
        except _AcceptedError:
            return
        except SystemExit as end:
            code = end.code
    assert not code, f"{script} {shlex.join(arguments)} ended with {code}"
    assert not parse_only, f"{script} reads no arguments"


def _accept_tool(script: str, arguments: list[str]) -> None:
    call(script, arguments, parse_only=True)
    for argument in arguments:
        if re.fullmatch(r"configs/\S+\.py", argument):
            read_config(argument)


def _accept_install(arguments: list[str]) -> None:
    """Check the requirements, files and extras that ``pip install`` or ``pip wheel`` names."""
    assert arguments[0] in ("install", "wheel"), arguments
    extras = set(re.findall(r'^ +"(\w+)": ', (ROOT / "setup.py").read_text(encoding="utf-8").split("extras_require")[1], re.M))
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in ("-c", "-r"):
            assert (ROOT / next(rest)).is_file(), argument
        elif argument in ("--target", "--no-binary", "-w"):
            next(rest)
        elif not argument.startswith("-"):
            # `.` is this package, and so is its wheel.
            wanted = Requirement(re.sub(r"^(\.|dist/mmbeit3-\S+\.whl)(?=\[|$)", "mmbeit3", argument))
            assert wanted.name != "mmbeit3" or wanted.extras <= extras, f"'{argument}': setup.py has {sorted(extras)}"


def save(code: str, file: str) -> None:
    """Save a config, and check that it can be read."""
    Path(file).write_text(code)
    read_config(file)
