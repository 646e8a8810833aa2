"""Initialisation of the task heads, and freezing of the parameters that a task does not use."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mmbeit3.models.beit3 import BEiT3, Tower, truncated_normal_

__all__ = ["freeze_unused", "init_linears"]


@torch.no_grad()
def init_linears(module: nn.Module, scale: float = 1.0, init: str = "beit") -> None:
    """Initialise all linear layers of a head like the official code: weights truncated normal (std 0.02), biases zero.

    Args:
        module: the head.
        scale: factor for the weights; the official code uses 0.001 where all classes should start with equal logits.
        init: initialisation of the network (``Arch.init``). With ``'magneto'`` the weights are Xavier normal and ``scale`` is
            ignored, for the reason in :func:`~mmbeit3.models.beit3.init_beit3`.
    """
    for linear in (layer for layer in module.modules() if isinstance(layer, nn.Linear)):
        if init == "magneto":
            nn.init.xavier_normal_(linear.weight)
        else:
            truncated_normal_(linear.weight).mul_(scale)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)


def freeze_unused(network: BEiT3, uses_text_output: bool = True) -> None:
    """Freeze the parameters that image-text pairs never use: distributed training needs a gradient for each trained parameter.

    These are the mask token and, in layers with a vision-language FFN, the FFNs of the vision and language experts. The
    weights stay in the network, so checkpoints keep all their keys.

    Args:
        network: a network whose input is always an image-text pair.
        uses_text_output: True if the head reads the last hidden states of the text. If False, the parameters of the last
            layer that only compute these states are frozen as well.
    """
    cast(Tensor, network.vision.embed.mask_token).requires_grad_(False)
    for index in network.fusion_ffns:
        _freeze_ffn(network.vision, int(index))
        _freeze_ffn(network.language, int(index))
    if uses_text_output:
        return
    attention = network.language.experts[-1].attn
    # The projection of queries, keys and values is one matrix. The image attends to the keys and values, so it stays trained.
    if attention is not network.vision.experts[-1].attn:
        attention.inner_norm.requires_grad_(False)
        attention.out.requires_grad_(False)
    if not network.fusion_ffns:
        _freeze_ffn(network.language, -1)


def _freeze_ffn(tower: Tower, index: int) -> None:
    tower.experts[index].ffn.requires_grad_(False)
