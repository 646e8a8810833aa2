"""Initialisation of the network's weights."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from mmbeit3.models.beit3.embedding import TextEmbedding, VisionEmbedding
from mmbeit3.models.beit3.expert import AttentionProjections, FeedForward
from mmbeit3.models.beit3.tower import Tower

__all__ = ["init_beit3"]


@torch.no_grad()
def init_beit3(model: nn.Module) -> None:
    """Initialise a tower or the full network as BEiT does, the paper's stated choice for the giant.

    Matrices, positions and the word table are drawn from a normal distribution of standard deviation 0.02 truncated at
    ±0.02, biases are zero, and the output matrices of attention and FFN in layer l (from 1) are divided by
    sqrt(2 l). The class and mask tokens start at zero as in the released code. (The released fine-tuning code never calls
    its own depth scaling; the paper says it was used.)

    Args:
        model: a module holding towers; parameters outside of :mod:`mmbeit3.models.beit3` are left alone.
    """
    for module in model.modules():
        if isinstance(module, AttentionProjections):
            _init_weights(module.qkv, module.out)
        elif isinstance(module, FeedForward):
            _init_weights(module.fc1, module.fc2)
        elif isinstance(module, VisionEmbedding):
            _init_weights(module.proj)
            _init_tensor(module.positions)
        elif isinstance(module, TextEmbedding):
            _init_tensor(module.words.weight)
            _init_tensor(module.positions)
    _scale_by_depth(model)


def _init_tensor(tensor: Tensor) -> None:
    nn.init.trunc_normal_(tensor, std=0.02, a=-0.02, b=0.02)


def _init_weights(*layers: nn.Linear | nn.Conv2d) -> None:
    for layer in layers:
        _init_tensor(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _scale_by_depth(model: nn.Module) -> None:
    # Attention projections that towers share must be scaled once.
    scaled: set[int] = set()
    for tower in (module for module in model.modules() if isinstance(module, Tower)):
        for depth, expert in enumerate(tower.experts, start=1):
            for linear in (expert.attn.out, expert.ffn.fc2):
                if id(linear) not in scaled:
                    scaled.add(id(linear))
                    linear.weight.div_(math.sqrt(2 * depth))
    for index, ffn in getattr(model, "fusion_ffns", {}).items():
        cast(FeedForward, ffn).fc2.weight.div_(math.sqrt(2 * (int(index) + 1)))
