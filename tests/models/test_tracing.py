"""Backbones traced by ``torch.jit.trace``, as get_flops.py of MMDetection and MMSegmentation does to count operations."""

import warnings

import pytest
import timm
import torch
from mmengine.analysis import get_model_complexity_info
from torch import nn

from mmbeit3.models.backbones import BEiT3Vision, TimmViT, ViTAdapter
from tests.goldens import ARCH

SIZE = (96, 150)
"""Another grid than the position table's, not a multiple of the patch size, with enough patches for compiled attention."""

TINY = {**ARCH, "num_layers": 1}


MADE = {
    "tower": lambda: BEiT3Vision(TINY, final_norm=True),
    "windows": lambda: BEiT3Vision(TINY, window_size=4),
    "absolute positions": lambda: TimmViT("vit_small_patch14_reg4_dinov2", image_size=56),
    "rotary positions": lambda: TimmViT("eva02_tiny_patch14_224", image_size=56),
    "adapter": lambda: ViTAdapter(
        {"type": "mmbeit3.BEiT3Vision", "arch": TINY},
        [(0, 0)],
        conv_inplane=8,
        n_points=1,
        deform_num_heads=3,
        vit_feature="last",
        use_extra_extractor=False,
        norm_cfg={"type": "BN"},
        init_value=0.5,
    ),
}


@pytest.fixture
def make(monkeypatch):
    original = timm.create_model
    sizes = {"depth": 1, "embed_dim": 48, "num_heads": 3}
    monkeypatch.setattr(timm, "create_model", lambda name, **options: original(name, **{**sizes, **options}))

    def made(name):
        torch.manual_seed(0)
        net = MADE[name]().eval()
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=0.1)
        return net

    return made


@pytest.mark.parametrize("name", MADE)
def test_traced_equals_eager(name, make, monkeypatch):
    net = make(name)
    monkeypatch.setenv("MMBEIT3_LINEAR", "onednn")
    image, other = torch.randn(2, 1, 3, *SIZE)
    with torch.no_grad():
        before = net(other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        # It is traced once more without gradients, and graphs and outputs are compared.
        traced = torch.jit.trace(net, image)
    with torch.no_grad():
        found, after = traced(other), net(other)
    assert {node.kind().partition("::")[0] for node in traced.inlined_graph.nodes()} == {"aten", "prim"}
    for one, two, three in zip(found, before, after, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
        assert torch.equal(two, three)


@pytest.mark.parametrize("name", ["tower", "adapter"])
def test_operations_are_counted(name, make):
    net = make(name)
    counted = get_model_complexity_info(net, input_shape=(3, *SIZE), show_table=False, show_arch=False)
    assert counted["params"] == sum(p.numel() for p in net.parameters())
    # MMEngine counts products, and none of attention's.
    products = 0

    def count(module, inputs, output):
        nonlocal products
        if isinstance(module, nn.Linear):
            products += output.numel() * module.in_features
        else:
            products += output.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    with torch.no_grad():
        net(torch.randn(1, 3, *SIZE))
    assert hooks
    assert products <= counted["flops"] < 2 * products
