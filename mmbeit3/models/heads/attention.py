"""Attention of Mask2Former's decoder with one mask for all heads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SharedMaskAttention", "share_masks"]


class SharedMaskAttention(nn.MultiheadAttention):
    """Multi-head attention whose mask is the same for all heads, by PyTorch's fused attention.

    ``nn.MultiheadAttention`` needs a copy of the mask for each head, and also computes the mean of the attention weights, which
    takes several passes over tensors of (B * heads, queries, keys). Parameters and results are the same.
    """

    @classmethod
    def of(cls, attention: nn.MultiheadAttention) -> SharedMaskAttention:
        """Return this attention with the parameters of another one.

        Raises:
            ValueError: if it has separate projections, extra keys, or the batch first.
        """
        separate = attention.in_proj_weight is None or attention.bias_k is not None or attention.add_zero_attn
        if separate or attention.batch_first:
            raise ValueError("the decoder's attention must have one input projection, no extra keys, and batch_first=False")
        with torch.device("meta"):
            made = cls(attention.embed_dim, attention.num_heads, attention.dropout, bias=attention.in_proj_bias is not None)
        made.in_proj_weight, made.in_proj_bias = attention.in_proj_weight, attention.in_proj_bias
        made.out_proj = attention.out_proj
        return made.train(attention.training)

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, key_padding_mask: Any = None
    ) -> tuple[Tensor, None]:
        """Attend from queries to keys.

        Args:
            query: (Q, B, C).
            key: (K, B, C).
            value: (K, B, C).
            attn_mask: (B, Q, K) bool, True where a query must not attend to a key. No row may be all True.
            key_padding_mask: must be None.

        Returns:
            (Q, B, C), and None in place of the attention weights.

        Raises:
            ValueError: if ``key_padding_mask`` is given.
        """
        if key_padding_mask is not None:
            raise ValueError("SharedMaskAttention does not support key_padding_mask")
        biases: Any = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        weights = self.in_proj_weight.chunk(3)
        q, k, v = (self._project(*part) for part in zip((query, key, value), weights, biases, strict=True))
        allowed = None if attn_mask is None else ~attn_mask[:, None]
        attended = F.scaled_dot_product_attention(q, k, v, allowed, self.dropout if self.training else 0.0)
        merged = attended.permute(2, 0, 1, 3).flatten(2)  # (Q, B, C)
        return F.linear(merged, self.out_proj.weight, self.out_proj.bias), None

    def _project(self, tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Project (N, B, C) to (B, heads, N, d)."""
        return F.linear(tokens, weight, bias).unflatten(2, (self.num_heads, -1)).permute(1, 2, 0, 3)


def share_masks(decoder: nn.Module) -> None:
    """Replace the attention in every layer of mmdet's ``Mask2FormerTransformerDecoder`` by :class:`SharedMaskAttention`."""
    for layer in decoder.layers:  # type: ignore[union-attr]
        for part in (layer.cross_attn, layer.self_attn):
            part.attn = SharedMaskAttention.of(part.attn)
