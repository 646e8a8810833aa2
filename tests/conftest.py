"""Set-up of all tests: mmcv's operators, and one thread a process where several test at once."""

import logging
import os
import runpy
import sys

import pytest
import torch
from mmengine.logging import MMLogger

import mmbeit3.registry  # noqa: F401  (before anything of mmdet)
from tests.paths import ROOT

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers as many as cores, each with threads as many as cores, stand in each other's way.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"

# PyTorch counts devices at the first backward pass. After fake tensors it would count a GPU and start a thread for it, and then
# processes that tests fork could not compute gradients.
torch.zeros(1, requires_grad=True).sum().backward()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def _release_streams():
    """Let MMEngine's loggers write to another stream than that of the test, which pytest closes after it."""
    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setStream(sys.__stderr__)


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Run a tool, named by its path below ``tools``, as a command in this process; returns its exit status and output."""

    def run(tool, *arguments):
        monkeypatch.setattr(sys, "argv", [tool, *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            runpy.run_path(str(ROOT / "tools" / f"{tool}.py"), run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        finally:
            _release_streams()
        return code, capsys.readouterr()

    return run
