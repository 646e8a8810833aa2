"""Initialisation of the network's weights."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from mmbeit3.models.beit3.embedding import TextEmbedding, VisionEmbedding
from mmbeit3.models.beit3.expert import AttentionProjections, FeedForward
from mmbeit3.models.beit3.tower import Tower
from mmbeit3.ops.precision import wide_dtype

__all__ = ["init_beit3", "truncated_normal_"]

_EMBEDDING_STD = 0.5
"""Standard deviation of positions and words with ``'magneto'``, about that of embedded patches."""


@torch.no_grad()
def truncated_normal_(tensor: Tensor, std: float = 0.02) -> Tensor:
    """Fill a tensor from a normal distribution truncated at one standard deviation on either side, as BEiT does.

    It uses the inverse of the cumulative distribution function, as PyTorch's ``trunc_normal_`` did before 2.12. Newer versions
    redraw until all values are within the bounds. With bounds of one standard deviation this takes forty times as long, half a
    minute for a base model.

    Args:
        tensor: floating point, filled in place.
        std: standard deviation of the normal distribution. That of the truncated distribution is 0.54 times as large.
    """
    bound = math.erf(math.sqrt(0.5))
    drawn = torch.empty_like(tensor, dtype=wide_dtype(tensor)).uniform_(-bound, bound)
    return tensor.copy_(drawn.erfinv_().mul_(math.sqrt(2) * std).clamp_(-std, std))


@torch.no_grad()
def init_beit3(model: nn.Module, init: str = "beit") -> None:
    """Initialise a tower or the full network. The class and mask tokens start at zero, as do all biases.

    ``'beit'`` is what the paper states for the giant model: matrices, positions and the word table are drawn from a normal
    distribution of standard deviation 0.02 truncated at ±0.02, and the output matrices of attention and FFN in layer l
    (from 1) are divided by sqrt(2 l). (The paper says that this scaling was used;
    the released fine-tuning code has it but never calls it.)

    ``'magneto'`` is the initialisation that Sub-LN was designed for (arXiv 2210.06423, encoders of L layers): Xavier's normal
    distribution, with a gain of sqrt(ln(2 L)) for values, output matrices and FFNs, and 1 for queries and keys. The norms after
    values and ``fc1`` cancel the scale of these matrices, but not that of an optimizer's steps. With ``'beit'`` these steps are
    large compared to the matrices, above all in narrow networks. For embeddings, which that paper does not cover, mmbeit3 uses
    a standard deviation of 0.5.

    Args:
        model: a module that contains towers. Parameters outside of :mod:`mmbeit3.models.beit3` are not changed.
        init: ``'beit'`` or ``'magneto'``.
    """
    if init == "magneto":
        _magneto(model)
    else:
        _beit(model)


def _beit(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, AttentionProjections):
            _init_weights(module.qkv, module.out)
        elif isinstance(module, FeedForward):
            _init_weights(module.fc1, module.fc2)
        elif isinstance(module, VisionEmbedding):
            _init_weights(module.proj)
            truncated_normal_(module.positions)
        elif isinstance(module, TextEmbedding):
            truncated_normal_(module.words.weight)
            truncated_normal_(module.positions)
    _scale_by_depth(model)


def _magneto(model: nn.Module) -> None:
    depth = max((len(module.experts) for module in model.modules() if isinstance(module, Tower)), default=1)
    gain = math.sqrt(math.log(2 * max(depth, 2)))
    for module in model.modules():
        if isinstance(module, AttentionProjections):
            query, key, value = module.qkv.weight.chunk(3)
            for matrix, matrix_gain in ((query, 1.0), (key, 1.0), (value, gain), (module.out.weight, gain)):
                nn.init.xavier_normal_(matrix, matrix_gain)
            _clear_biases(module.qkv, module.out)
        elif isinstance(module, FeedForward):
            for layer in (module.fc1, module.fc2):
                nn.init.xavier_normal_(layer.weight, gain)
            _clear_biases(module.fc1, module.fc2)
        elif isinstance(module, VisionEmbedding):
            # Flattened to (C, 3 * p * p): for a kernel, xavier_normal_ would multiply the outputs by the kernel's area, too.
            nn.init.xavier_normal_(module.proj.weight.flatten(1))
            _clear_biases(module.proj)
            nn.init.normal_(module.positions, std=_EMBEDDING_STD)
        elif isinstance(module, TextEmbedding):
            nn.init.normal_(module.words.weight, std=_EMBEDDING_STD)
            nn.init.normal_(module.positions, std=_EMBEDDING_STD)


def _init_weights(*layers: nn.Linear | nn.Conv2d) -> None:
    for layer in layers:
        truncated_normal_(layer.weight)
    _clear_biases(*layers)


def _clear_biases(*layers: nn.Linear | nn.Conv2d) -> None:
    for layer in layers:
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
