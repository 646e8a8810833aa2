"""Start of a tokenizer's encoder from the blocks of a trained ViT."""

from __future__ import annotations

from typing import Any, cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from mmbeit3.errors import UserError
from mmbeit3.pretrain.image_tokenizers.vit import TokenizerViT

__all__ = ["copy_vit", "start_projection"]

_TANH_SCALE = 0.1
"""Scale of the features, whose deviations are about 1, inside the projection's tanh: it is almost linear there."""


@torch.no_grad()
def copy_vit(encoder: TokenizerViT, vit: nn.Module, mean: Tensor, std: Tensor) -> None:
    """Copy the embedding and the first blocks of a timm ViT into a tokenizer's encoder of the same sizes.

    The encoder then computes the same features, apart from the bias of the keys, which cancels in the softmax. It has no
    LayerScale, so this is multiplied into the output matrices. It takes images normalised by mean and deviation 0.5, so the
    difference to the ViT's normalisation is multiplied into the patch embedding. An encoder with fewer blocks gets the first
    ones. Its final norm is that of the ViT if it has all blocks, and is not changed otherwise.

    Args:
        encoder: the encoder, changed in place.
        vit: a timm ``VisionTransformer`` such as DINOv2's without registers.
        mean: mean of the ViT's images (3, 1, 1), for values from 0 to 1.
        std: standard deviation of the ViT's images (3, 1, 1).

    Raises:
        UserError: if the ViT has another form or other sizes than the encoder.
    """
    if not isinstance(vit, VisionTransformer):
        raise UserError(
            f"the encoder cannot start from a {type(vit).__name__}: choose a teacher that is timm's VisionTransformer"
        )
    source = vit.state_dict()
    target = encoder.state_dict()
    state: dict[str, Tensor] = {}
    kernel = source.get("patch_embed.proj.weight")
    wanted = target["patch_embed.proj.weight"].shape
    if kernel is None or kernel.shape != wanted:
        found = None if kernel is None else tuple(kernel.shape)
        raise UserError(f"the encoder's patch embedding is {tuple(wanted)}, the teacher's {found}: give it the teacher's sizes")
    # With t = (x - 0.5) / 0.5, (x - mean) / std = t * 0.5 / std + (0.5 - mean) / std.
    state["patch_embed.proj.weight"] = kernel * (0.5 / std)
    bias = source.get("patch_embed.proj.bias", torch.zeros(len(kernel)))
    state["patch_embed.proj.bias"] = bias + (kernel * ((0.5 - mean) / std)).sum(dim=(1, 2, 3))
    state["cls_token"], state["pos_embed"] = source["cls_token"], source["pos_embed"]
    depth = len(encoder.blocks)
    for number in range(depth):
        state |= _block(source, f"blocks.{number}.")
    if depth == len(vit.blocks):
        name = "norm" if "norm.weight" in source else "fc_norm"
        state |= {f"fc_norm.{part}": source[f"{name}.{part}"] for part in ("weight", "bias")}
    else:
        state |= {name: target[name] for name in ("fc_norm.weight", "fc_norm.bias")}
    attentions = [cast(Any, block).attn for block in (encoder.blocks[0], vit.blocks[0])]
    heads_fit = attentions[0].heads == attentions[1].num_heads
    wrong = [name for name in target if name not in state or state[name].shape != target[name].shape]
    if wrong or set(state) != set(target) or not heads_fit:
        fault = wrong[0] if wrong else "the number of heads or of parts"
        raise UserError(
            f"the encoder cannot start from the teacher: {fault} differs, so give it the teacher's sizes and a plain ViT"
        )
    encoder.load_state_dict(state)


@torch.no_grad()
def start_projection(projection: nn.Sequential, features: Tensor) -> None:
    """Set a tokenizer's projection to the principal components of features, each divided by the root of its deviation.

    Without this division, few components would dominate the cosine between embeddings. With a division by the deviation
    itself, all would have the same weight, noise included. The projection has a tanh, so this is an approximation.

    Args:
        projection: ``encode_task_layer`` of the tokenizer, changed in place: linear, tanh, linear.
        features: features of patches (M, dims), M at least the number of components.
    """
    first, _, last = projection
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    rows = features.double()
    mean = rows.mean(dim=0)
    variances, directions = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    # eigh sorts in ascending order.
    variances, directions = variances.flip(0)[: len(last.weight)], directions.flip(1)[:, : len(last.weight)]
    first.weight.copy_(_TANH_SCALE * torch.eye(len(mean)))
    first.bias.copy_(-_TANH_SCALE * mean)
    last.weight.copy_(directions.T / variances.clamp(min=1e-12)[:, None] ** 0.25 / _TANH_SCALE)
    last.bias.zero_()


def _block(source: dict[str, Any], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of a block by the encoder's names. Unknown parts of the block stay and are found by their names."""
    parts = {name.removeprefix(prefix): value for name, value in source.items() if name.startswith(prefix)}
    for scale, linear in (("ls1.gamma", "attn.proj"), ("ls2.gamma", "mlp.fc2")):
        if scale in parts:
            gamma = parts.pop(scale)
            parts[f"{linear}.weight"] = parts[f"{linear}.weight"] * gamma[:, None]
            parts[f"{linear}.bias"] = parts[f"{linear}.bias"] * gamma
    bias = parts.pop("attn.qkv.bias", None)
    if bias is not None:
        parts["attn.q_bias"], _, parts["attn.v_bias"] = bias.chunk(3)
    return {prefix + name: value for name, value in parts.items()}
