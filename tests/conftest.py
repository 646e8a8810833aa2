"""Set-up of all tests: mmcv's operators, and one thread a process so that timings and results do not depend on the load."""

import pytest
import torch

import mmbeit3.registry  # noqa: F401  (before anything of mmdet)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
