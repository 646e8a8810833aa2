"""A tower: one modality's Transformer. Towers meet only in attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmbeit3.models.beit3.arch import Arch
from mmbeit3.models.beit3.expert import AttentionProjections, Expert, FeedForward

__all__ = ["Attend", "Tower", "run_layer"]

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention over q, k, v (B, heads, N, d) giving (B, heads, N, d)."""


class Tower(nn.Module):
    """Embedding, one :class:`~mmbeit3.models.beit3.expert.Expert` a layer, and the final norm of one modality.

    Args:
        arch: sizes.
        embed: the modality's embedding.
        shared_with: a tower whose attention projections are used instead of new ones (the paper's variant).
        drop_path_rate: stochastic depth, linear from 0 at the first layer to this rate at the last.
        with_cp: recompute each layer in the backward pass to save memory.
        final_norm: whether to build the final norm.
        **kwargs: passed on to the next base class, for towers that are also something else.
    """

    def __init__(
        self,
        arch: Arch,
        embed: nn.Module,
        shared_with: Tower | None = None,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        final_norm: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.with_cp = with_cp
        self.embed = embed
        shared: Sequence[AttentionProjections | None] = [None] * arch.num_layers
        if shared_with is not None:
            shared = [expert.attn for expert in shared_with.experts]
        self.layers = nn.ModuleList(Expert(arch, attn) for attn in shared)
        self.drop_paths = nn.ModuleList(
            DropPath(rate) for rate in torch.linspace(0, drop_path_rate, arch.num_layers, device="cpu").tolist()
        )
        self.norm = nn.LayerNorm(arch.embed_dims, eps=arch.layer_norm_eps) if final_norm else nn.Identity()

    @property
    def experts(self) -> list[Expert]:
        """The layers, by their type."""
        return cast("list[Expert]", list(self.layers))


def run_layer(
    towers: Sequence[Tower],
    streams: Sequence[Tensor],
    index: int,
    attention: Attend,
    fusion_ffn: FeedForward | None = None,
) -> list[Tensor]:
    """Run one layer of several towers whose tokens attend to each other in one softmax.

    Args:
        towers: the modalities that take part, in token order.
        streams: each tower's tokens (B, N_i, C).
        index: which layer.
        attention: attention over the concatenated tokens.
        fusion_ffn: a vision-language FFN to use for every modality instead of the towers' own.

    Returns:
        Each tower's tokens after the layer, before the final norm.
    """

    def layer(*streams: Tensor) -> tuple[Tensor, ...]:
        lengths = [tokens.shape[1] for tokens in streams]
        experts = [cast(Expert, tower.layers[index]) for tower in towers]
        projected = [expert.attn.project(tokens) for expert, tokens in zip(experts, streams, strict=True)]
        q, k, v = (projected[0] if len(projected) == 1 else torch.cat(projected, dim=3)).unbind()
        rows = attention(q, k, v).split(lengths, dim=2)
        outputs = []
        for tower, expert, tokens, attended in zip(towers, experts, streams, rows, strict=True):
            drop_path = tower.drop_paths[index]
            tokens = tokens + drop_path(expert.attn.merge(attended))
            ffn = expert.ffn if fusion_ffn is None else fusion_ffn
            outputs.append(tokens + drop_path(ffn(tokens)))
        return tuple(outputs)

    if torch.is_grad_enabled() and any(tower.with_cp for tower in towers):
        return list(checkpoint(layer, *streams, use_reentrant=False))
    return list(layer(*streams))
