"""Files of weights for TimmViT: whatever their names, image and patch size, they give the features that timm gives."""

import re

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import nn
from torch.nn import functional as F

from mmbeit3.checkpoint import LAYOUTS, load_checkpoint, read_state_dict
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision, TimmViT, ViTAdapter
from mmbeit3.models.beit3 import BEiT3
from tests.goldens import ARCH
from tests.paths import shared

SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3}
DINOV2, REGISTERS, DINOV3 = "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3_qkvb"
EVA02, DISTILLED, AUGREG = "eva02_base_patch14_224", "deit_tiny_distilled_patch16_224", "vit_tiny_patch16_224"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Have timm build small models; returns what it builds them by."""
    original = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: original(name, **{**SMALL, **options}))
    return original


def whole(name, image_size=64, **options):
    """timm's model with random weights everywhere, so that nothing is at a value that another thing could have."""
    model = timm.create_model(name, img_size=image_size, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model.eval()


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def features(vit, image):
    with torch.no_grad():
        return vit.eval()(image)[-1]


def timms(model, image):
    """Patches after the blocks and the norm, as a map."""
    with torch.no_grad():
        tokens = model.fc_norm(model.forward_features(image))[:, model.num_prefix_tokens :]
    p = model.patch_embed.feat_ratio()
    return tokens.unflatten(1, (image.shape[2] // p, image.shape[3] // p)).permute(0, 3, 1, 2)


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


def meta_dinov2(state):
    """A state dict of timm's under Meta's names: with registers, the class token's position stands in the table."""
    state = dict(state)
    if "reg_token" in state:
        state["register_tokens"] = state.pop("reg_token")
        position = torch.full_like(state["cls_token"], 0.3)
        state["pos_embed"] = torch.cat([position, state["pos_embed"]], dim=1)
        state["cls_token"] = state["cls_token"] - position
    return {"mask_token": torch.randn(1, 48), **state}


def meta_dinov3(state):
    state = dict(state)
    state["storage_tokens"] = state.pop("reg_token")
    for i in range(SMALL["depth"]):
        bias = torch.cat([state.pop(f"blocks.{i}.attn.q_bias"), torch.full((48,), 7.0), state.pop(f"blocks.{i}.attn.v_bias")])
        state[f"blocks.{i}.attn.qkv.bias"] = bias
        state[f"blocks.{i}.attn.qkv.bias_mask"] = torch.ones(3, 48).index_fill(0, torch.tensor(1), 0).flatten()
        for k in (1, 2):
            state[f"blocks.{i}.ls{k}.gamma"] = state.pop(f"blocks.{i}.gamma_{k}")
    periods = (100 ** (torch.arange(4) / 4)).bfloat16()
    return {"mask_token": torch.zeros(1, 48), "rope_embed.periods": periods, **state}


def authors_eva02(state):
    """As before fine-tuning: ``norm``, a head for masked patches, and tables of the rotary positions."""
    renamed = {}
    for name, tensor in state.items():
        for theirs, ours in (("w1", "fc1_g"), ("w2", "fc1_x"), ("w3", "fc2"), ("ffn_ln", "norm")):
            name = name.replace(f"mlp.{ours}.", f"mlp.{theirs}.")
        name = re.sub(r"attn\.([qv])_proj\.bias", r"attn.\1_bias", name).replace("fc_norm.", "norm.")
        renamed[name] = tensor
    extra = {"mask_token": torch.zeros(1, 1, 48), "lm_head.weight": torch.zeros(9, 48), "lm_head.bias": torch.zeros(9)}
    tables = {f"{root}rope.freqs_cos": torch.zeros(16, 16) for root in ("", "blocks.0.attn.", "blocks.1.attn.")}
    return {**extra, **tables, **renamed}


def mae(state):
    decoder = {"mask_token": torch.zeros(1, 1, 8), "decoder_pos_embed": torch.zeros(1, 17, 8)}
    return {**decoder, **{f"decoder_blocks.0.norm1.{part}": torch.zeros(8) for part in ("weight", "bias")}, **state}


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


VIT = {
    "embeddings.cls_token": "cls_token",
    "embeddings.distillation_token": "dist_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "encoder.layer.{i}.attention.output.dense": "blocks.{i}.attn.proj",
    "layernorm": "norm",
}
OLD_VIT = {
    **VIT,
    "encoder.layer.{i}.layernorm_before": "blocks.{i}.norm1",
    "encoder.layer.{i}.layernorm_after": "blocks.{i}.norm2",
    "encoder.layer.{i}.intermediate.dense": "blocks.{i}.mlp.fc1",
    "encoder.layer.{i}.output.dense": "blocks.{i}.mlp.fc2",
}
NEW_VIT = {
    name.replace("encoder.layer.", "layers.")
    .replace("attention.output.dense", "attention.o_proj")
    .replace("intermediate.dense", "mlp.fc1")
    .replace("output.dense", "mlp.fc2"): ours
    for name, ours in OLD_VIT.items()
}
DINO = {
    **VIT,
    "embeddings.register_tokens": "register_tokens",
    "embeddings.mask_token": "mask_token",
    "encoder.layer.{i}.norm1": "blocks.{i}.norm1",
    "encoder.layer.{i}.norm2": "blocks.{i}.norm2",
    "encoder.layer.{i}.layer_scale1.lambda1": "blocks.{i}.ls1.gamma",
    "encoder.layer.{i}.layer_scale2.lambda1": "blocks.{i}.ls2.gamma",
    "encoder.layer.{i}.mlp.fc1": "blocks.{i}.mlp.fc1",
    "encoder.layer.{i}.mlp.fc2": "blocks.{i}.mlp.fc2",
}
GIANT = {name.replace("mlp.fc1", "mlp.weights_in").replace("mlp.fc2", "mlp.weights_out"): ours for name, ours in DINO.items()}
DINO3 = {
    "embeddings.cls_token": "cls_token",
    "embeddings.register_tokens": "reg_token",
    "embeddings.patch_embeddings": "patch_embed.proj",
    "layer.{i}.norm1": "blocks.{i}.norm1",
    "layer.{i}.norm2": "blocks.{i}.norm2",
    "layer.{i}.attention.o_proj": "blocks.{i}.attn.proj",
    "layer.{i}.attention.q_proj.bias": "blocks.{i}.attn.q_bias",
    "layer.{i}.attention.v_proj.bias": "blocks.{i}.attn.v_bias",
    "layer.{i}.layer_scale1.lambda1": "blocks.{i}.gamma_1",
    "layer.{i}.layer_scale2.lambda1": "blocks.{i}.gamma_2",
    "layer.{i}.mlp.up_proj": "blocks.{i}.mlp.fc1",
    "layer.{i}.mlp.down_proj": "blocks.{i}.mlp.fc2",
    "norm": "norm",
}
GATED = {**DINO3, "layer.{i}.mlp.gate_proj": "blocks.{i}.mlp.fc1_g", "layer.{i}.mlp.up_proj": "blocks.{i}.mlp.fc1_x"}
SIGLIP = {
    "embeddings.position_embedding.weight": "pos_embed",
    "embeddings.class_embedding": "cls_token",
    "embeddings.patch_embedding": "patch_embed.proj",
    "pre_layrnorm": "norm_pre",
    "encoder.layers.{i}.layer_norm1": "blocks.{i}.norm1",
    "encoder.layers.{i}.layer_norm2": "blocks.{i}.norm2",
    "encoder.layers.{i}.self_attn.out_proj": "blocks.{i}.attn.proj",
    "encoder.layers.{i}.mlp.fc1": "blocks.{i}.mlp.fc1",
    "encoder.layers.{i}.mlp.fc2": "blocks.{i}.mlp.fc2",
    "post_layernorm": "norm",
}


def transformers(state, names, attention):
    """A state dict of timm's, or Meta's of DINOv2, under transformers' names, each written out above."""
    theirs = {ours: name for name, ours in names.items()}
    renamed = {}
    for name, tensor in state.items():
        index = "".join(re.findall(r"blocks\.(\d+)\.", name))
        pattern = re.sub(r"blocks\.\d+\.", "blocks.{i}.", name)
        stem, _, part = pattern.rpartition(".")
        if stem == "blocks.{i}.attn.qkv":
            for which, piece in zip(attention, tensor.chunk(3), strict=True):
                renamed[f"{which}.{part}".replace("{i}", index)] = piece
        elif pattern in theirs:
            tensor = tensor[0] if "position_embedding." in theirs[pattern] else tensor
            renamed[theirs[pattern].replace("{i}", index)] = tensor.flatten() if "class_emb" in theirs[pattern] else tensor
        else:
            renamed[f"{theirs[stem]}.{part}".replace("{i}", index)] = tensor
    return renamed


OLD = [f"encoder.layer.{{i}}.attention.attention.{part}" for part in ("query", "key", "value")]
NEW = [f"layers.{{i}}.attention.{part}_proj" for part in "qkv"]
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


@pytest.mark.parametrize("cls", ["Dinov2", "Dinov2WithRegisters", "DINOv3ViT", "SiglipVision", "ViT", "DeiT"])
def test_features_equal_those_of_transformers(cls, tmp_path):
    theirs = pytest.importorskip("transformers")
    p = 14 if "Dinov2" in cls else 16
    names = {
        "Dinov2": DINOV2,
        "Dinov2WithRegisters": REGISTERS,
        "DINOv3ViT": DINOV3,
        "SiglipVision": "vit_base_patch16_siglip_224",
        "ViT": AUGREG,
        "DeiT": DISTILLED,
    }
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 192}
    more = {"num_register_tokens": 4} if cls == "DINOv3ViT" else {"layer_norm_eps": 1e-6}
    act = {"hidden_act": "gelu"} if cls == "SiglipVision" else {}
    config = getattr(theirs, f"{cls}Config")(image_size=4 * p, patch_size=p, **sizes, **more, **act)
    model = getattr(theirs, f"{cls}Model")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    model.save_pretrained(tmp_path)
    vit = TimmViT(names[cls], image_size=4 * p, final_norm=True)
    load_checkpoint(vit, tmp_path)
    image = torch.randn(1, 3, 4 * p, 4 * p)
    with torch.no_grad():
        tokens = model(pixel_values=image).last_hidden_state[:, vit.num_prefix_tokens :]
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


@pytest.mark.parametrize("trained", [EVA02, AUGREG])
def test_final_norm_of_fine_tuned_files(trained):
    """Fine-tuned on averages of patches, they have ``fc_norm`` and no ``norm``, whatever timm's model of the name has."""
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
    with pytest.raises(UserError, match="holds 2 ViTs"):
        load_checkpoint(
            vit, {f"{root}.{name}": t for root in ("student", "teacher") for name, t in source.state_dict().items()}
        )


REFUSED = {
    "fewer registers": (
        REGISTERS,
        DINOV2,
        {},
        "before the patches it has 1 class token, the model 1 class token, 4 register tokens",
    ),
    "registers": (DINOV2, REGISTERS, {}, "before the patches it has 1 class token, 4 register tokens, the model 1 class token"),
    "distilled": (AUGREG, DISTILLED, {}, "1 class token, 1 distillation token, the model 1 class token"),
    "deeper": (AUGREG, AUGREG, {"depth": 3}, r"has blocks\.2\.norm1\.weight, .* besides"),
    "less deep": (AUGREG, AUGREG, {"depth": 1}, r"lacks blocks\.1\.norm1\.weight"),
    "wider": (AUGREG, AUGREG, {"embed_dim": 96}, "cls_token is 1x1x96 there and 1x1x48 in the model"),
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
    with pytest.raises(UserError, match="rotary positions have other periods"):
        load_checkpoint(vit, {**state, "rope_embed.periods": state["rope_embed.periods"] * 2})
    keys = {name.removesuffix("_mask"): torch.ones(144) for name in state if name.endswith("bias_mask")}
    masks = {f"{name}_mask": torch.ones(144) for name in keys}
    with pytest.raises(UserError, match=r"has blocks\.0\.attn\.k_bias"):
        load_checkpoint(vit, {**state, **masks, **keys})
    with pytest.raises(UserError, match="has nothing for timm's"):
        load_checkpoint(vit, {"stem.weight": torch.ones(3)})
    beit = {"beit.embeddings.patch_embeddings.projection.weight": torch.zeros(48, 3, 16, 16)}
    relative = {"beit.encoder.layer.0.attention.attention.relative_position_bias.x": torch.ones(3)}
    with pytest.raises(UserError, match=r"lacks .* and has encoder\.layer\.0\.attention\.attention\.relative_position_bias\.x"):
        load_checkpoint(TimmViT("vit_medium_patch16_gap_256"), beit | relative)


def test_biases_that_are_zero_are_no_matter():
    """DINOv3's distilled models have them, timm's names without ``qkvb`` do not."""
    plain = whole(DINOV3.removesuffix("_qkvb"))
    state = state_of(plain) | {f"blocks.{i}.attn.{part}_bias": torch.zeros(48) for i in (0, 1) for part in "qv"}
    vit = TimmViT(DINOV3.removesuffix("_qkvb"), image_size=64)
    report = load_checkpoint(vit, meta_dinov3(state))
    assert report.missing == []
    assert torch.equal(vit.model.blocks[1].attn.qkv.weight, plain.blocks[1].attn.qkv.weight)


def test_grids_are_compared_and_not_numbers_of_rows():
    wide = TimmViT(DINOV2, image_size=(28, 112))
    square = TimmViT(DINOV2, image_size=56)
    nn.init.normal_(wide.model.pos_embed)
    assert wide.model.pos_embed.shape == square.model.pos_embed.shape
    report = load_checkpoint(square, wide.state_dict())
    assert report.resized == {"model.pos_embed": "2x8 patches to 4x4"}
    as_map = wide.model.pos_embed[:, 1:].unflatten(1, (2, 8)).permute(0, 3, 1, 2)
    resized = F.interpolate(as_map, (4, 4), mode="bicubic", antialias=True).permute(0, 2, 3, 1).flatten(1, 2)
    torch.testing.assert_close(square.model.pos_embed, torch.cat([wide.model.pos_embed[:, :1], resized], dim=1))
    # A table that says nothing is square, in a model that is not as well.
    report = load_checkpoint(wide, square.model.state_dict())
    assert report.resized == {"model.pos_embed": "4x4 patches to 2x8"}
    # What is not square must be told.
    odd = state_of(whole(DINOV2, (28, 70)))
    vit = TimmViT(DINOV2, image_size=(28, 70))
    with pytest.raises(UserError, match=r"11 rows is 1 \+ no square grid .* grid=\(h, w\)"):
        load_checkpoint(vit, odd)
    assert load_checkpoint(vit, odd, grid=(2, 5)).resized == {}
    assert load_checkpoint(vit, odd, grid=(5, 2)).resized == {"model.pos_embed": "5x2 patches to 2x5"}
    with pytest.raises(UserError, match="is of no grid of 3 x 5 patches"):
        load_checkpoint(vit, odd, grid=(3, 5))


def test_grid_in_init_cfg(tmp_path):
    torch.save(state_of(whole(DINOV2, (28, 70))), tmp_path / "wide.pth")
    cfg = {"type": "Pretrained", "checkpoint": str(tmp_path / "wide.pth")}
    with pytest.raises(UserError, match="no square grid"):
        TimmViT(DINOV2, image_size=(28, 70), init_cfg=cfg).init_weights()
    TimmViT(DINOV2, image_size=(28, 70), init_cfg={**cfg, "grid": (2, 5)}).init_weights()


def test_positions_are_resized_whoever_loads_them(tmp_path):
    from mmengine.runner import load_checkpoint as mmengine_loads

    source, ours = TimmViT(DINOV2, image_size=(28, 112)), TimmViT(DINOV2, image_size=(42, 70))
    torch.save({"state_dict": {f"backbone.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "detector.pth")
    detector = nn.ModuleDict({"backbone": TimmViT(DINOV2, image_size=(42, 70))})
    with pytest.warns(
        UserWarning, match=r"backbone\.model\.pos_embed resized from 17 rows to 16 on loading, for 3 x 5 patches"
    ):
        mmengine_loads(detector, str(tmp_path / "detector.pth"), strict=True)
    load_checkpoint(ours, tmp_path / "detector.pth")
    torch.testing.assert_close(detector["backbone"].state_dict(), ours.state_dict())
    assert ours.state_dict()["position_grid"].tolist() == [3, 5]


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


@pytest.mark.parametrize("size", [518, (140, 280)])
def test_released_weights(size, small, monkeypatch):
    monkeypatch.setattr(timm, "create_model", small)
    path = shared("real", "weights", "dinov2_vits14_timm.safetensors")
    vit = TimmViT(DINOV2, image_size=size, final_norm=True, init_cfg={"type": "Pretrained", "checkpoint": str(path)})
    vit.init_weights()
    overlay = {"state_dict": read_state_dict(path)}
    theirs = timm.create_model(
        DINOV2, pretrained=True, pretrained_cfg_overlay=overlay, img_size=size, num_classes=0, dynamic_img_size=True
    ).eval()
    image = torch.randn(1, 3, 70, 140)
    torch.testing.assert_close(features(vit, image), timms(theirs, image), atol=1e-5, rtol=1e-5)
