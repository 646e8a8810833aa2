"""The plain ViT that both the encoder and the decoder of the tokenizer use."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import cast

import torch
from timm.layers import Mlp
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.checkpoint.resizing import resample_positions
from mmbeit3.models.beit3 import truncated_normal_

__all__ = ["TokenizerViT"]

_EPS = 1e-6
_STD = 0.02


class TokenizerViT(nn.Module):
    """A pre-norm ViT with absolute positions that returns normalised patch features without the class token.

    Parameters are named as in the released tokenizers (``patch_embed.proj``, ``blocks.{i}.attn.qkv``, ``fc_norm`` …). No
    LayerScale, no relative positions, exact GELU, an FFN four times as wide as the tokens, layer norms with eps 1e-6.

    Args:
        in_channels: channels of the map: 3 for an image, the codes' width for the decoder.
        grid: (h, w) of the position table.
        patch_size: side of a patch in pixels of the map; 1 for the decoder.
        dims: width of the tokens.
        depth: number of blocks.
        heads: attention heads of each block.

    Raises:
        ValueError: if ``dims`` is not a multiple of ``heads``.
    """

    def __init__(self, in_channels: int, grid: tuple[int, int], patch_size: int, dims: int, depth: int, heads: int) -> None:
        super().__init__()
        self.grid = grid
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(in_channels, dims, patch_size, patch_size)))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dims))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid[0] * grid[1], dims))
        self.blocks = nn.ModuleList(_Block(dims, heads) for _ in range(depth))
        self.fc_norm = nn.LayerNorm(dims, eps=_EPS)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise as BEiT: truncated normal, deviation 0.02; output matrices of block l (from 1) divided by sqrt(2 l)."""
        for table in (self.cls_token, self.pos_embed):
            truncated_normal_(table, _STD)
        self.apply(init_linear)
        for depth, block in enumerate(cast("list[_Block]", list(self.blocks)), start=1):
            for linear in (block.attn.proj, block.mlp.fc2):
                cast(nn.Linear, linear).weight.div_(math.sqrt(2 * depth))

    def forward(self, image: Tensor) -> Tensor:
        """Compute features of the patches of a map.

        Args:
            image: (B, in_channels, H, W) with sides that are multiples of the patch size. The position table is resized
                bicubically to another grid.

        Returns:
            (B, h * w, dims), patches row-major.
        """
        patches = self.patch_embed(image)
        grid = (patches.shape[2], patches.shape[3])
        tokens = torch.cat([self.cls_token.to(patches.dtype).expand(len(image), -1, -1), patches.flatten(2).mT], dim=1)
        tokens = tokens + self._positions(grid)
        for block in self.blocks:
            tokens = block(tokens)
        return self.fc_norm(tokens[:, 1:])

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        if grid == self.grid:
            return self.pos_embed
        return resample_positions(self.pos_embed, self.grid, grid, num_prefix=1)


class _Attention(nn.Module):
    """Self-attention with a bias for queries and values; a bias of keys would cancel in the softmax."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        if dims % heads:
            raise ValueError(f"the tokenizer's width of {dims} is not a multiple of its {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(dims, 3 * dims, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dims))
        self.v_bias = nn.Parameter(torch.zeros(dims))
        self.proj = nn.Linear(dims, dims)

    def forward(self, tokens: Tensor) -> Tensor:
        B, N, _ = tokens.shape
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        q, k, v = F.linear(tokens, self.qkv.weight, bias).view(B, N, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind()
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Block(nn.Module):
    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, eps=_EPS)
        self.attn = _Attention(dims, heads)
        self.norm2 = nn.LayerNorm(dims, eps=_EPS)
        self.mlp = Mlp(dims, 4 * dims)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


def init_linear(module: nn.Module) -> None:
    """Initialise a linear or convolution layer: truncated normal of deviation 0.02, bias 0. Ignore other modules."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        truncated_normal_(module.weight, _STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
