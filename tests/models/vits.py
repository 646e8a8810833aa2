"""Small timm ViTs, and their state dicts with the keys of other projects, written out."""

import re

import timm
import torch

SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3}
DINOV2, REGISTERS, DINOV3 = "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3_qkvb"
EVA02, DISTILLED, AUGREG = "eva02_base_patch14_224", "deit_tiny_distilled_patch16_224", "vit_tiny_patch16_224"


def build_small(monkeypatch):
    """Make timm build small models. Return the original function."""
    original = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: original(name, **{**SMALL, **options}))
    return original


def whole(name, image_size=64, **options):
    """Build timm's model with random weights everywhere, so that no two weights are equal."""
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
    """Return the patches after the blocks and the norm, as a map."""
    with torch.no_grad():
        tokens = model.fc_norm(model.forward_features(image))[:, model.num_prefix_tokens :]
    p = model.patch_embed.feat_ratio()
    return tokens.unflatten(1, (image.shape[2] // p, image.shape[3] // p)).permute(0, 3, 1, 2)


def meta_dinov2(state):
    """Return timm's state dict with Meta's keys. With registers, the table contains the class token's position."""
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
    """Return timm's state dict as released before fine-tuning: ``norm``, a masked-patch head and rotary tables."""
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
OLD = [f"encoder.layer.{{i}}.attention.attention.{part}" for part in ("query", "key", "value")]
NEW = [f"layers.{{i}}.attention.{part}_proj" for part in "qkv"]


def transformers(state, names, attention):
    """Return timm's state dict, or Meta's of DINOv2, with transformers' keys, written out above."""
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
