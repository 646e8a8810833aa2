"""The hook changes a runner's model, also inside a wrapper."""

from types import SimpleNamespace

import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmengine.model import MMDistributedDataParallel

from mmbeit3.engine.hooks import FastOpsHook
from mmbeit3.ops import Linear
from mmbeit3.ops.mmcv_ext.layer import FusedMultiScaleDeformableAttention
from mmbeit3.registry import HOOKS


@pytest.mark.parametrize("wrapped", [False, True])
def test_layers_are_replaced(wrapped, tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), MultiScaleDeformableAttention(16, 2))
    if wrapped:
        torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
        runner = SimpleNamespace(model=MMDistributedDataParallel(model))
    else:
        runner = SimpleNamespace(model=model)
    try:
        FastOpsHook().before_run(runner)
    finally:
        if wrapped:
            torch.distributed.destroy_process_group()
    assert type(model[0]) is Linear
    assert type(model[1]) is FusedMultiScaleDeformableAttention


def test_configs_may_have_the_older_name():
    assert HOOKS.get("FastLinearHook") is HOOKS.get("mmbeit3.FastOpsHook") is FastOpsHook
