"""The hook changes a runner's model, also inside a wrapper."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import MMDistributedDataParallel

from mmbeit3.engine.hooks import FastLinearHook
from mmbeit3.ops import Linear


@pytest.mark.parametrize("wrapped", [False, True])
def test_layers_are_replaced(wrapped, tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    if wrapped:
        torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
        runner = SimpleNamespace(model=MMDistributedDataParallel(model))
    else:
        runner = SimpleNamespace(model=model)
    try:
        FastLinearHook().before_run(runner)
    finally:
        if wrapped:
            torch.distributed.destroy_process_group()
    assert type(model[0]) is Linear
