"""Calling the commands."""

import runpy
import sys

import pytest

from tests.paths import ROOT


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Call a tool of tools/benchmark; returns its exit status and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def calling(tool, *arguments):
        monkeypatch.setattr(sys, "argv", [tool, *map(str, arguments)])
        capsys.readouterr()
        try:
            runpy.run_path(str(ROOT / "tools" / "benchmark" / f"{tool}.py"), run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return code, capsys.readouterr()

    return calling
