"""The hook switches the blocks' compilation on, and refuses models that have no such switch."""

from types import SimpleNamespace

import pytest
import torch

from mmbeit3.engine.hooks import CompileBlocksHook
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import ViTAdapter
from tests.goldens import ARCH


def test_all_parts_are_switched():
    vit = {"type": "mmbeit3.BEiT3Vision", "arch": ARCH}
    backbone = ViTAdapter(vit, [(i, i) for i in range(4)], deform_num_heads=3, norm_cfg={"type": "BN"})
    parts = [backbone.vit, *backbone.interactions[0].values()]
    assert [part.compile_blocks for part in parts] == [False] * len(parts)
    CompileBlocksHook().before_run(SimpleNamespace(model=torch.nn.ModuleDict({"backbone": backbone})))
    assert [part.compile_blocks for part in parts] == [True] * len(parts)


def test_a_model_without_the_switch():
    with pytest.raises(UserError, match="no network of mmbeit3"):
        CompileBlocksHook().before_run(SimpleNamespace(model=torch.nn.Linear(2, 2)))
