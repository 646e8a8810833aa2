"""Checkpoints for TimmViT with the original keys, transformers' or BEiT-3's give timm's features."""

import re

import pytest
import timm
import torch
from torch import nn

from mmbeit3.checkpoint import LAYOUTS, load_checkpoint
from mmbeit3.models.backbones import BEiT3Vision, TimmViT
from mmbeit3.models.beit3 import BEiT3
from tests.goldens import ARCH
from tests.models.vits import (
    AUGREG,
    DINO,
    DINO3,
    DINOV2,
    DINOV3,
    DISTILLED,
    EVA02,
    GATED,
    GIANT,
    NEW,
    NEW_VIT,
    OLD,
    OLD_VIT,
    REGISTERS,
    SIGLIP,
    authors_eva02,
    build_small,
    features,
    mae,
    meta_dinov2,
    meta_dinov3,
    state_of,
    timms,
    transformers,
    whole,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    return build_small(monkeypatch)


AUTHORS = {
    "DINOv2": (DINOV2, meta_dinov2),
    "DINOv2 with registers": (REGISTERS, meta_dinov2),
    "DINOv3": (DINOV3, meta_dinov3),
    "EVA-02": (EVA02, authors_eva02),
    "MAE with its decoder": (AUGREG, mae),
    "DeiT III": (
        "deit3_small_patch16_224",
        lambda state: {re.sub(r"ls(\d)\.gamma", r"gamma_\1", k): v for k, v in state.items()},
    ),
}


@pytest.mark.parametrize(("family", "root"), [*((family, "") for family in AUTHORS), ("DINOv3", "backbone.")])
def test_names_of_their_authors(family, root):
    name, rename = AUTHORS[family]
    p = timm.create_model(name).patch_embed.feat_ratio()
    model = whole(name, 4 * p, num_classes=0)
    vit = TimmViT(name, image_size=4 * p, final_norm=True)
    report = load_checkpoint(vit, {root + key: tensor for key, tensor in rename(state_of(model)).items()})
    assert report.layout in ("original", "timm")
    assert report.missing == []
    image = torch.randn(1, 3, 3 * p, 5 * p)
    wanted = timm.create_model(name, img_size=4 * p, num_classes=0, dynamic_img_size=True).eval()
    wanted.load_state_dict(model.state_dict())
    torch.testing.assert_close(features(vit, image), timms(wanted, image), atol=1e-5, rtol=1e-5)


THEIRS = {
    "ViT": (AUGREG, OLD_VIT, OLD, ("", "vit.")),
    "ViT of version 5": (AUGREG, NEW_VIT, NEW, ("", "vit.")),
    "DeiT": (DISTILLED, OLD_VIT, OLD, ("", "deit.")),
    "DINOv2": (DINOV2, DINO, OLD, ("", "dinov2.", "backbone.")),
    "DINOv2 of version 5": (DINOV2, DINO, [f"encoder.{name.replace('layers', 'layer')}" for name in NEW], ("",)),
    "DINOv2 with registers": (REGISTERS, DINO, OLD, ("dinov2_with_registers.",)),
    "DINOv2 giant": ("vit_giant_patch14_dinov2", GIANT, OLD, ("",)),
    "DINOv3": (DINOV3, DINO3, [name.replace("layers", "layer") for name in NEW], ("", "model.")),
    "DINOv3 plus": ("vit_small_plus_patch16_dinov3_qkvb", GATED, [name.replace("layers", "layer") for name in NEW], ("",)),
    "SigLIP": (
        "vit_base_patch16_siglip_224",
        SIGLIP,
        [f"encoder.layers.{{i}}.self_attn.{part}_proj" for part in "qkv"],
        ("", "vision_model."),
    ),
    "CLIP": ("vit_base_patch16_clip_224", SIGLIP, [f"encoder.layers.{{i}}.self_attn.{part}_proj" for part in "qkv"], ("",)),
}


@pytest.mark.parametrize("family", THEIRS)
def test_names_of_transformers(family):
    name, names, attention, roots = THEIRS[family]
    p = timm.create_model(name).patch_embed.feat_ratio()
    state = {key: t for key, t in state_of(whole(name, 4 * p, num_classes=0)).items() if not key.startswith("attn_pool")}
    theirs = transformers(meta_dinov2(state) if names in (DINO, GIANT) else state, names, attention)
    for root in roots:
        vit = TimmViT(name, image_size=4 * p, final_norm=True)
        file = {root + key: tensor for key, tensor in theirs.items()} | {"classifier.weight": torch.zeros(2, 48)}
        report = load_checkpoint(vit, file)
        assert report.layout.startswith("transformers")
        assert {key.removeprefix(root) for key in report.unused} <= {"classifier.weight", "mask_token"}
        for key, tensor in vit.model.state_dict().items():
            torch.testing.assert_close(tensor, state[key], msg=key)


EPS = {"layer_norm_eps": 1e-6}
CLASSES = {
    "Dinov2": (DINOV2, EPS),
    "Dinov2WithRegisters": (REGISTERS, EPS),
    "DINOv3ViT": (DINOV3, {"num_register_tokens": 4}),
    "SiglipVision": ("vit_base_patch16_siglip_224", {**EPS, "hidden_act": "gelu"}),
    "CLIPVision": ("vit_base_patch16_clip_quickgelu_224", {}),
    "ViT": (AUGREG, EPS),
    "DeiT": (DISTILLED, EPS),
    "ViTMAE": (AUGREG, {**EPS, "mask_ratio": 0.0}),
    "IJepa": ("vit_huge_patch14_gap_224", EPS),
}


@pytest.mark.parametrize("cls", CLASSES)
def test_features_equal_those_of_transformers(cls, tmp_path):
    theirs = pytest.importorskip("transformers")
    name, more = CLASSES[cls]
    p = timm.create_model(name).patch_embed.feat_ratio()
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 192}
    config = getattr(theirs, f"{cls}Config")(image_size=4 * p, patch_size=p, **sizes, **more)
    model = getattr(theirs, f"{cls}Model")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Of MAE, positions are sines, and fixed.
            if parameter.requires_grad:
                parameter.normal_(std=0.2)
    model.save_pretrained(tmp_path)
    # CLIP's last hidden state is that before the norm.
    vit = TimmViT(name, image_size=4 * p, final_norm=cls != "CLIPVision")
    load_checkpoint(vit, tmp_path)
    image = torch.randn(1, 3, 4 * p, 4 * p)
    # Patches in this order, where they would be shuffled.
    order = {"noise": torch.arange(16.0)[None]} if cls == "ViTMAE" else {}
    with torch.no_grad():
        tokens = model(pixel_values=image, **order).last_hidden_state[:, vit.num_prefix_tokens :]
    wanted = tokens.unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    torch.testing.assert_close(features(vit, image), wanted, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("layout", ["official", "ours", "timm"])
def test_beit3_in_all_its_layouts(layout, small, monkeypatch):
    sizes = {"depth": 4, "embed_dim": 48, "num_heads": 3, "mlp_ratio": 4.0}
    monkeypatch.setattr(timm, "create_model", lambda name, **options: small(name, **{**sizes, **options}))
    source = BEiT3(ARCH)
    nn.init.normal_(source.vision.norm.weight)
    state = source.state_dict()
    if layout == "official":
        state = LAYOUTS["official"].to_theirs(state)
    elif layout == "timm":
        vision = {name: tensor for name, tensor in state.items() if name.startswith("vision.") and "mask_token" not in name}
        state = LAYOUTS["timm"].to_theirs(vision)
    vit = TimmViT("beit3_base_patch16_224", image_size=64, final_norm=True)
    report = load_checkpoint(vit, state)
    assert report.layout == {"official": "BEiT-3", "ours": "BEiT-3", "timm": "timm"}[layout]
    tower = BEiT3Vision(ARCH, final_norm=True)
    load_checkpoint(tower, source.state_dict())
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(features(vit, image), features(tower, image), atol=1e-5, rtol=1e-5)
