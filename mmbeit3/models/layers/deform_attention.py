"""Multi-scale deformable attention as a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbeit3.ops import Linear, fused_ms_deform_attn, joint_linear, wide_dtype

__all__ = ["DeformableAttention"]


class DeformableAttention(nn.Module):
    """Attention of each query to a few points around its reference point on each level (Deformable DETR, arXiv 2010.04159).

    Parameter names, shapes and initial values are those of the reference ViT-Adapter.

    Args:
        embed_dims: width C of queries and values.
        num_heads: attention heads.
        num_levels: number of levels of the values.
        num_points: number of points per head on each level.
        ratio: width of the projected values as a fraction of C; the width must be a multiple of ``num_heads``.

    Raises:
        ValueError: if ``num_heads`` does not divide the width of the values.
    """

    def __init__(self, embed_dims: int, num_heads: int, num_levels: int = 1, num_points: int = 4, ratio: float = 1.0) -> None:
        super().__init__()
        width = int(embed_dims * ratio)
        if width % num_heads or not width:
            raise ValueError(
                f"deformable attention: embed_dims {embed_dims} x ratio {ratio} = {width} channels must be a positive multiple "
                f"of num_heads {num_heads}"
            )
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = Linear(embed_dims, 2 * samples)
        self.attention_weights = Linear(embed_dims, samples)
        self.value_proj = Linear(embed_dims, width)
        self.output_proj = Linear(width, embed_dims)
        self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Initialise uniform attention weights, and points one cell apart on one ray per head."""
        dtype = wide_dtype(self.sampling_offsets.bias)
        angles = 2 * math.pi * torch.arange(self.num_heads, dtype=dtype) / self.num_heads
        rays = torch.stack([angles.cos(), angles.sin()], dim=-1)
        rays = rays / rays.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, self.num_points + 1, dtype=dtype)
        offsets = (rays[:, None] * steps[:, None]).unsqueeze(1).expand(-1, self.num_levels, -1, -1)
        # (heads, levels, points, 2)
        nn.init.zeros_(self.sampling_offsets.weight)
        self.sampling_offsets.bias.copy_(offsets.reshape(-1))
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(
        self, query: Tensor, reference_points: Tensor, value: Tensor, spatial_shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Attend from queries to the values of all levels.

        Args:
            query: (B, Q, C).
            reference_points: (1 or B, Q, levels, 2), (x, y) with 0 to 1 spanning each level's map.
            value: (B, S, C), the levels' cells row-major, levels concatenated.
            spatial_shapes: (h, w) of each level.

        Returns:
            (B, Q, C).
        """
        values, offsets, logits = self.project(query, value)
        attended = fused_ms_deform_attn(values, spatial_shapes, reference_points, offsets, logits)  # (B, Q, heads * d)
        return self.output_proj(attended.to(query.dtype))

    def project(self, query: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project queries (B, Q, C) and values (B, S, C), without attending.

        Returns:
            Values (B, S, heads, d), sampling offsets (B, Q, heads, levels, points, 2), and attention logits
            (B, Q, heads, levels * points), as :func:`mmbeit3.ops.fused_ms_deform_attn` takes them.
        """
        heads, levels, points = self.num_heads, self.num_levels, self.num_points
        values = self.value_proj(value).unflatten(-1, (heads, -1))
        offsets, logits = joint_linear([self.sampling_offsets, self.attention_weights], query)
        return values, offsets.unflatten(-1, (heads, levels, points, 2)), logits.unflatten(-1, (heads, levels * points))
