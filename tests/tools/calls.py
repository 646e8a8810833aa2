"""Calling a tool as a command, in this process."""

import runpy
import sys

import pytest

from tests.paths import ROOT


@pytest.fixture
def call(monkeypatch, capsys):
    """Call a tool; returns its exit status and what it wrote to stderr."""

    def calling(tool, *arguments):
        monkeypatch.setattr(sys, "argv", [tool, *map(str, arguments)])
        capsys.readouterr()
        try:
            runpy.run_path(str(ROOT / "tools" / f"{tool}.py"), run_name="__main__")
        except SystemExit as end:
            return end.code or 0, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return calling


def refused(result, *parts):
    """The command's last word is the one line of its error."""
    code, stderr = result
    assert code == 2
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert all(part in stderr for part in parts), stderr
