"""Set-up of all tests: mmcv's operators, and one thread a process where several test at once."""

import os

import pytest
import torch

import mmbeit3.registry  # noqa: F401  (before anything of mmdet)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers as many as cores, each with threads as many as cores, stand in each other's way.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
