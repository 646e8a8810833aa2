"""Token-wise modules of one modality in one layer, before and after attention."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.models.beit3.arch import Arch
from mmbeit3.ops import Linear

__all__ = ["AttentionProjections", "Expert", "FeedForward"]


class AttentionProjections(nn.Module):
    """Projections before and after attention, with Sub-LN: ``norm → qkv``, then ``inner_norm → out``.

    q, k and v are fused in one matrix, in this order. All projections have biases, as in the released models.

    Args:
        arch: sizes.
    """

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        self.num_heads = arch.num_heads
        self.norm = nn.LayerNorm(arch.embed_dims, eps=arch.layer_norm_eps)
        self.qkv = Linear(arch.embed_dims, 3 * arch.embed_dims)
        self.inner_norm = nn.LayerNorm(arch.embed_dims, eps=arch.layer_norm_eps)
        self.out = Linear(arch.embed_dims, arch.embed_dims)

    def project(self, tokens: Tensor) -> Tensor:
        """Normalise tokens (..., C) and project them to q, k, v (..., 3, H, D), D = C / H."""
        return self.qkv(self.norm(tokens)).unflatten(-1, (3, self.num_heads, -1))  # (..., 3, H, D)

    def merge(self, attended: Tensor) -> Tensor:
        """Normalise attended tokens (..., C) over the full width (Sub-LN) and project them to (..., C)."""
        return self.out(self.inner_norm(attended))


class FeedForward(nn.Module):
    """Feed-forward network with Sub-LN, ``norm → fc1 → GELU → inner_norm → fc2``: (..., C) to (..., C).

    Args:
        arch: sizes.
    """

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(arch.embed_dims, eps=arch.layer_norm_eps)
        self.fc1 = Linear(arch.embed_dims, arch.ffn_dims)
        self.inner_norm = nn.LayerNorm(arch.ffn_dims, eps=arch.layer_norm_eps)
        self.fc2 = Linear(arch.ffn_dims, arch.embed_dims)

    def forward(self, tokens: Tensor) -> Tensor:
        """Compute the residual branch (..., C) of tokens (..., C)."""
        return self.fc2(self.inner_norm(F.gelu(self.fc1(self.norm(tokens)))))


class Expert(nn.Module):
    """Weights of one modality in one layer. :func:`~mmbeit3.models.beit3.run_layer` computes the layer.

    Args:
        arch: sizes.
        attn: attention projections to share with another tower; default new ones.
    """

    def __init__(self, arch: Arch, attn: AttentionProjections | None = None) -> None:
        super().__init__()
        self.attn = AttentionProjections(arch) if attn is None else attn
        self.ffn = FeedForward(arch)
