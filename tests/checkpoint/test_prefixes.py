"""Prefixes of a network inside larger models."""

import pytest
from torch import nn

from mmbeit3.checkpoint.prefixes import (
    name_as_network,
    name_in_tower,
    owner_prefix,
    prefixes_before,
    rename_tower,
    split_by_prefix,
    split_owner,
)
from mmbeit3.checkpoint.wrapping import without_wrapper
from mmbeit3.models.backbones import BEiT3Vision, ViTAdapter
from mmbeit3.models.beit3 import BEiT3
from tests.goldens import ARCH

SMALL = {**ARCH, "num_layers": 4}


def adapter():
    return ViTAdapter({"type": "mmbeit3.BEiT3Vision", "arch": SMALL}, [(i, i) for i in range(4)], 8, deform_num_heads=3)


@pytest.mark.parametrize(
    "build",
    [
        lambda: BEiT3Vision(SMALL),
        adapter,
        lambda: nn.ModuleDict({"backbone": BEiT3Vision(SMALL), "neck": nn.Linear(1, 1)}),
        lambda: nn.ModuleDict({"backbone": adapter(), "neck": nn.Linear(1, 1)}),
        lambda: nn.ModuleDict({"network": BEiT3(SMALL), "loss": nn.Linear(1, 1)}),
        lambda: BEiT3(SMALL),
    ],
    ids=["tower", "adapter", "detector", "detector with adapter", "task model", "network"],
)
def test_every_model_of_the_table_gives_the_same_tower(build):
    tower = {f"vision.{name}" for name, _ in BEiT3Vision(SMALL).named_parameters()}
    model = build()
    names = dict(model.named_parameters())
    renamed = name_as_network(names)
    assert tower <= renamed.keys()
    assert len(renamed) == len(names)
    # Layer decay finds the same parameters in models as they are trained.
    if any(name.startswith(("backbone.", "network.", "vision.")) for name in names):
        assert {name.removeprefix("vision.") for name in tower} <= {name_in_tower(name) for name in names}


def test_split_owner():
    assert split_owner({"backbone.a": 1, "neck.b": 2, "network.c": 3}) == ({"a": 1}, {"neck.b": 2, "network.c": 3})
    assert split_owner({"network.a": 1, "c": 2}) == ({"a": 1}, {"c": 2})
    assert split_owner({"vision.a": 1, "backbone2.b": 2}) == ({"vision.a": 1, "backbone2.b": 2}, {})


def test_owner_prefix():
    assert owner_prefix(nn.ModuleDict({"backbone": nn.Identity()})) == "backbone."
    assert owner_prefix(nn.ModuleDict({"network": nn.Identity()})) == "network."
    model = nn.Identity()
    model.network = "a name"
    assert owner_prefix(model) == ""


def test_rename_tower_keeps_other_names():
    state = {"vit.embed.cls_token": 1, "vit.layers.0.x": 2, "level_embed": 3, "norm1.weight": 4, "vit.head.x": 5}
    renamed = {"vision.embed.cls_token": 1, "vision.layers.0.x": 2, "level_embed": 3, "norm1.weight": 4, "vit.head.x": 5}
    assert rename_tower(state) == renamed
    assert rename_tower(state, prefixes=("",)) == state


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("backbone.vit.model.blocks.1.attn.qkv.weight", "blocks.1.attn.qkv.weight"),
        ("beit3.language.embed.words.weight", "embed.words.weight"),
        ("neck.vision_conv.weight", None),
        ("fusion_ffns.3.fc1.weight", None),
    ],
)
def test_name_in_tower(name, inside):
    assert name_in_tower(name) == inside


def test_prefixes_before():
    names = ["a.vit.proj.weight", "proj.weight", "other_proj.weight"]
    assert prefixes_before(names, "proj.weight") == ["a.vit.", ""]


def test_split_by_prefix():
    assert split_by_prefix({"a.b": 1, "ab": 2}, "a.") == ({"b": 1}, {"ab": 2})
    assert split_by_prefix({"a.b": 1}, "") == ({"a.b": 1}, {})


def test_single_layer_is_not_a_wrapper():
    """Nothing is dropped if nothing is unwrapped."""
    state = {**{f"head.w{i}": i for i in range(20)}, "scale": 1}
    assert without_wrapper(state) == (state, [])
