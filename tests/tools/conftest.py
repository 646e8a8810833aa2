"""Calling a tool as a command, in this process."""

import pytest


@pytest.fixture
def call(run_tool):
    """Call a tool; returns its exit status and what it wrote to stderr."""

    def calling(tool, *arguments):
        code, output = run_tool(tool, *arguments)
        return code, output.err

    return calling
