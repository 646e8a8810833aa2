"""A tower of BEiT-3: the embedding, layers and final norm of one modality. Towers interact only in attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from timm.layers import DropPath
from torch import nn

from mmbeit3.models.beit3.arch import Arch
from mmbeit3.models.beit3.expert import AttentionProjections, Expert

__all__ = ["Tower"]


class Tower(nn.Module):
    """The embedding, one :class:`~mmbeit3.models.beit3.expert.Expert` per layer, and the final norm of one modality.

    Args:
        arch: sizes.
        embed: the modality's embedding.
        shared_with: a tower whose attention projections this one shares (the paper's variant); default new ones.
        drop_path_rate: stochastic depth, linear from 0 at the first layer to this rate at the last.
        with_cp: recompute each layer in the backward pass to save memory.
        final_norm: build the final norm.
        compile_blocks: compile the token-wise work of the layers, see :func:`mmbeit3.ops.region`.
        **kwargs: arguments of the next base class, for subclasses with several bases.
    """

    def __init__(
        self,
        arch: Arch,
        embed: nn.Module,
        shared_with: Tower | None = None,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        final_norm: bool = True,
        compile_blocks: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.with_cp = with_cp
        self.compile_blocks = compile_blocks
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
        """The layers, as a typed list."""
        return cast("list[Expert]", list(self.layers))
