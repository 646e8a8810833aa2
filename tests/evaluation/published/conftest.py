"""Calling the commands."""

import pytest


@pytest.fixture
def call(monkeypatch, run_tool, tmp_path):
    """Call a tool of tools/benchmark; returns its exit status and what it wrote."""
    monkeypatch.chdir(tmp_path)
    return lambda tool, *arguments: run_tool(tool, *arguments)
