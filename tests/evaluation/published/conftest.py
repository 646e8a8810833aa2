"""Calling the commands."""

import pytest


@pytest.fixture
def call(monkeypatch, run_tool, tmp_path):
    """Call an evaluation tool; return its exit status and its output."""
    monkeypatch.chdir(tmp_path)
    return lambda tool, *arguments: run_tool(tool, *arguments)
