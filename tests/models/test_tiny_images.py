"""Images of one pixel, and strips narrower than a patch, give maps of ceil(H / s) by ceil(W / s)."""

import math

import pytest
import timm
import torch

from mmbeit3.models.backbones import BEiT3Vision, TimmViT, ViTAdapter
from mmbeit3.models.necks import SimpleFeaturePyramid
from tests.goldens import ARCH

SIZES = [(1, 1), (7, 2000), (2000, 7), (33, 1)]
TRAINED = [(1, 1), (7, 150), (33, 1)]
ADAPTER = {"interaction_indexes": [(i, i) for i in range(4)], "conv_inplane": 8, "deform_num_heads": 3}


def timm_vit(name):
    original = timm.create_model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm, "create_model", lambda model, **options: original(model, depth=4, **options))
        return TimmViT(name, image_size=64)


def adapter(norm, **vit):
    norm_cfg = {"type": norm, "num_groups": 8} if norm == "GN" else {"type": norm}
    return ViTAdapter({"type": "mmbeit3.BEiT3Vision", "arch": ARCH, **vit}, norm_cfg=norm_cfg, **ADAPTER)


def pyramid():
    return torch.nn.Sequential(BEiT3Vision(ARCH), SimpleFeaturePyramid(ARCH["embed_dims"], 16))


MADE = {
    "tower": (lambda: BEiT3Vision(ARCH), [16]),
    "windows": (lambda: BEiT3Vision(ARCH, window_size=3, global_indices=(3,)), [16]),
    "absolute positions": (lambda: timm_vit("vit_tiny_patch16_224"), [16]),
    "rotary positions": (lambda: timm_vit("eva02_tiny_patch14_224"), [14]),
    "adapter": (lambda: adapter("BN"), [4, 8, 16, 32]),
    "adapter, windows": (lambda: adapter("GN", window_size=3), [4, 8, 16, 32]),
}


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", MADE)
def test_maps_of_tiny_images(name, train):
    make, strides = MADE[name]
    model = make().train(train)
    for size in TRAINED if train else SIZES:
        maps = model(torch.randn(2, 3, *size))
        assert [tuple(m.shape[2:]) for m in maps] == [tuple(math.ceil(side / s) for side in size) for s in strides]
        assert all(m.isfinite().all() for m in maps)
        if train:
            model.zero_grad()
            sum(m.square().sum() for m in maps).backward()
            assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_pyramid_of_tiny_images(size, train):
    model = pyramid().train(train)
    maps = model(torch.randn(2, 3, *size))
    grid = [math.ceil(side / 16) for side in size]
    wanted = [tuple(math.ceil(side * scale) for side in grid) for scale in (4, 2, 1, 0.5, 0.25)]
    assert [tuple(m.shape[2:]) for m in maps] == wanted
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad.isfinite().all() for p in model[1].parameters())
