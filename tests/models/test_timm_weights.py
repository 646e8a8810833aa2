"""Checkpoints for TimmViT: of any image and patch size they give timm's features; those of other models are refused."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import checkpoint_filter_fn

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import TimmViT, ViTAdapter
from tests.models.vits import (
    AUGREG,
    DINO,
    DINOV2,
    DINOV3,
    DISTILLED,
    EVA02,
    OLD,
    REGISTERS,
    build_small,
    features,
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


@pytest.mark.parametrize(
    "name",
    [
        DINOV2,
        REGISTERS,
        DINOV3,
        EVA02,
        DISTILLED,
        AUGREG,
        "deit3_small_patch16_224",
        "flexivit_small",
        "vit_base_patch16_siglip_224",
    ],
)
def test_other_sizes_as_timm_loads_them(name):
    p = timm.create_model(name).patch_embed.feat_ratio()
    state = state_of(whole(name, 4 * p))
    for size in (4 * p, (3 * p, 5 * p)):
        overlay = {"state_dict": dict(state), "input_size": (3, 4 * p, 4 * p)}
        theirs = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, img_size=size, dynamic_img_size=True
        ).eval()
        vit = TimmViT(name, image_size=size, final_norm=True)
        report = load_checkpoint(vit, state)
        assert report.layout == "timm"
        assert report.missing == []
        assert list(report.resized) == ([] if size == 4 * p or vit.model.pos_embed is None else ["model.pos_embed"])
        image = torch.randn(1, 3, 3 * p, 5 * p)
        torch.testing.assert_close(features(vit, image), timms(theirs, image), atol=1e-5, rtol=1e-5)


def test_another_patch_size():
    state = state_of(whole(DINOV2, 56))
    vit = TimmViT(DINOV2, image_size=80, patch_size=16, final_norm=True)
    report = load_checkpoint(vit, state)
    assert report.resized == {
        "model.pos_embed": "4x4 patches to 5x5",
        "model.patch_embed.proj.weight": "48x3x14x14 to 48x3x16x16",
    }
    theirs = timm.create_model(DINOV2, img_size=80, patch_size=16, num_classes=0)
    theirs.load_state_dict(checkpoint_filter_fn(state, theirs))
    torch.testing.assert_close(vit.model.patch_embed.proj.weight, theirs.patch_embed.proj.weight)
    torch.testing.assert_close(vit.model.pos_embed, theirs.pos_embed)


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_init_cfg(kind, tmp_path):
    model = whole(REGISTERS)
    state = {name: tensor.half() for name, tensor in state_of(model).items()}
    path = tmp_path / f"weights.{kind}"
    save_file(state, path) if kind == "safetensors" else torch.save({"model": state}, path)
    vit = TimmViT(REGISTERS, image_size=64, init_cfg={"type": "Pretrained", "checkpoint": str(path)})
    vit.init_weights()
    for name, tensor in vit.model.state_dict().items():
        torch.testing.assert_close(tensor, state[name].float())


@pytest.mark.parametrize("trained", [EVA02, AUGREG])
def test_final_norm_of_fine_tuned_files(trained):
    """Checkpoints fine-tuned on averages of patches have ``fc_norm`` and no ``norm``, even if timm's model has ``norm``."""
    state = state_of(whole(trained, 56 if trained == EVA02 else 64))
    for key in ("norm.weight", "norm.bias"):
        if key in state:
            state[f"fc_{key}"] = state.pop(key)
    vit = TimmViT(trained, image_size=56 if trained == EVA02 else 64, final_norm=True)
    report = load_checkpoint(vit, state)
    assert torch.equal(vit.model.norm.weight, state["fc_norm.weight"])
    assert report.missing == []
    without = {key: tensor for key, tensor in state.items() if "norm" not in key or "blocks" in key}
    with pytest.raises(UserError, match=r"lacks norm\.weight, norm\.bias"):
        load_checkpoint(vit, without)
    vit = TimmViT(trained, image_size=56 if trained == EVA02 else 64)
    assert load_checkpoint(vit, without).missing == []
    assert set(load_checkpoint(vit, state).unused) - {"head.weight", "head.bias"} == {"fc_norm.weight", "fc_norm.bias"}


def test_where_a_vit_stands_in_a_file():
    source = TimmViT(REGISTERS, image_size=56)
    for root in ("", "module.", "backbone.", "module.backbone.", "vit.", "backbone.vit.", "timm_model."):
        state = {f"{root}{name}": tensor for name, tensor in source.state_dict().items()}
        if root == "timm_model.":
            state = {f"{root}{name}": tensor for name, tensor in source.model.state_dict().items()}
        extra = {"module.head.x": torch.ones(1)} if root.startswith("module.") else {"head.x": torch.ones(1)}
        vit = TimmViT(REGISTERS, image_size=56)
        report = load_checkpoint(vit, state | extra)
        assert [name.removeprefix("module.") for name in report.unused] == ["head.x"]
        torch.testing.assert_close(vit.state_dict(), source.state_dict())
    with pytest.raises(UserError, match="has 2 ViTs"):
        load_checkpoint(
            vit, {f"{root}.{name}": t for root in ("student", "teacher") for name, t in source.state_dict().items()}
        )


REFUSED = {
    "fewer registers": (
        REGISTERS,
        DINOV2,
        {},
        "before the patches it has 1 class token, but the model has 1 class token, 4 register tokens",
    ),
    "registers": (
        DINOV2,
        REGISTERS,
        {},
        "before the patches it has 1 class token, 4 register tokens, but the model has 1 class token",
    ),
    "distilled": (AUGREG, DISTILLED, {}, "1 class token, 1 distillation token, but the model has 1 class token"),
    "deeper": (AUGREG, AUGREG, {"depth": 3}, r"has blocks\.2\.norm1\.weight, .*, unknown to this model"),
    "less deep": (AUGREG, AUGREG, {"depth": 1}, r"lacks blocks\.1\.norm1\.weight"),
    "wider": (AUGREG, AUGREG, {"embed_dim": 96}, "cls_token is 1x1x96 in the file and 1x1x48 in the model"),
    "no layer scale": (DINOV2, AUGREG, {}, r"lacks blocks\.0\.ls1\.gamma"),
    "layer scale": (AUGREG, AUGREG, {"init_values": 0.1}, r"has blocks\.0\.ls1\.gamma"),
    "biases": (DINOV3.removesuffix("_qkvb"), DINOV3, {}, r"has blocks\.0\.attn\.q_bias"),
    "another family": (DINOV3, AUGREG, {}, "before the patches"),
    "positions": (AUGREG, AUGREG, {"pos_embed": "none"}, "lacks pos_embed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_of_other_models_are_refused(case):
    name, other, options, reason = REFUSED[case]
    p = timm.create_model(name).patch_embed.feat_ratio()
    vit = TimmViT(name, image_size=4 * p)
    before = state_of(vit)
    state = state_of(whole(other, 4 * timm.create_model(other).patch_embed.feat_ratio(), **options))
    with pytest.raises(UserError, match=reason) as error:
        load_checkpoint(vit, state)
    assert "\n" not in str(error.value)
    assert "timm's" in str(error.value)
    torch.testing.assert_close(vit.state_dict(), before)


def test_other_refusals():
    vit = TimmViT(DINOV3, image_size=64)
    state = meta_dinov3(state_of(whole(DINOV3)))
    with pytest.raises(UserError, match="differs from the model's rotary periods"):
        load_checkpoint(vit, {**state, "rope_embed.periods": state["rope_embed.periods"] * 2})
    keys = {name.removesuffix("_mask"): torch.ones(144) for name in state if name.endswith("bias_mask")}
    masks = {f"{name}_mask": torch.ones(144) for name in keys}
    with pytest.raises(UserError, match=r"has blocks\.0\.attn\.k_bias"):
        load_checkpoint(vit, {**state, **masks, **keys})
    with pytest.raises(UserError, match="contains no weights of timm's"):
        load_checkpoint(vit, {"stem.weight": torch.ones(3)})
    beit = {"beit.embeddings.patch_embeddings.projection.weight": torch.zeros(48, 3, 16, 16)}
    relative = {"beit.encoder.layer.0.attention.attention.relative_position_bias.x": torch.ones(3)}
    with pytest.raises(UserError, match=r"lacks .* and has encoder\.layer\.0\.attention\.attention\.relative_position_bias\.x"):
        load_checkpoint(TimmViT("vit_medium_patch16_gap_256"), beit | relative)


def test_biases_that_are_zero_are_no_matter():
    """DINOv3's distilled checkpoints have zero biases; timm's models without ``qkvb`` have no biases."""
    plain = whole(DINOV3.removesuffix("_qkvb"))
    state = state_of(plain) | {f"blocks.{i}.attn.{part}_bias": torch.zeros(48) for i in (0, 1) for part in "qv"}
    vit = TimmViT(DINOV3.removesuffix("_qkvb"), image_size=64)
    report = load_checkpoint(vit, meta_dinov3(state))
    assert report.missing == []
    assert torch.equal(vit.model.blocks[1].attn.qkv.weight, plain.blocks[1].attn.qkv.weight)


def adapter(image_size=56, **options):
    vit = {"type": "mmbeit3.TimmViT", "model_name": REGISTERS, "image_size": image_size, **options.pop("vit", {})}
    options = {"conv_inplane": 8, "deform_num_heads": 3, "norm_cfg": {"type": "BN"}, "vit_feature": "last", **options}
    return ViTAdapter(vit, [(0, 0), (1, 1)], **options)


def test_inside_an_adapter(tmp_path):
    model = whole(REGISTERS, 56)
    save_file(transformers(meta_dinov2(state_of(model)), DINO, OLD), tmp_path / "dinov2.safetensors")
    cfg = {"type": "Pretrained", "checkpoint": str(tmp_path / "dinov2.safetensors")}
    for made in (adapter(70, vit={"init_cfg": cfg}), adapter(70, init_cfg=cfg)):
        made.init_weights()
        assert torch.equal(made.vit.model.blocks[1].attn.qkv.weight, model.blocks[1].attn.qkv.weight)
        assert made.vit.model.pos_embed.shape == (1, 25, 48)
    # The whole adapter at another size, and its ViT alone.
    source, target = adapter((28, 112)), adapter(56)
    report = load_checkpoint(target, source.state_dict())
    assert report.resized == {"vit.model.pos_embed": "2x8 patches to 4x4"}
    assert report.missing == report.unused == []
    torch.testing.assert_close(target.interactions.state_dict(), source.interactions.state_dict())
    alone = TimmViT(REGISTERS, image_size=56)
    load_checkpoint(alone, {f"backbone.{name}": tensor for name, tensor in source.state_dict().items()})
    torch.testing.assert_close(alone.state_dict(), target.vit.state_dict())
    # The adapter's parts alone: the ViT keeps its weights, and the report says so.
    parts = {name: tensor for name, tensor in source.state_dict().items() if not name.startswith("vit.")}
    assert {name.split(".")[0] for name in load_checkpoint(target, parts).missing} == {"vit"}
    with pytest.raises(UserError, match=r"lacks blocks\.1\."):
        load_checkpoint(
            target, {name: t for name, t in source.state_dict().items() if not name.startswith("vit.model.blocks.1")}
        )
