"""Token-wise modules of one modality in one layer, before and after attention."""

from __future__ import annotations

from torch import Tensor, nn

from mmbeit3.models.beit3.arch import Arch
from mmbeit3.ops import Linear, Residual, add_layer_norm, apply_linear, gelu_layer_norm

__all__ = ["AttentionProjections", "Expert", "FeedForward"]


class AttentionProjections(nn.Module):
    """Projections before and after attention, with Sub-LN: ``norm → qkv``, then ``inner_norm → out``.

    q, k and v are fused in one matrix, in this order. All projections have biases, as in the released models. The layer applies
    ``norm`` together with the residual addition before it.

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

    def project(self, normed: Tensor) -> Tensor:
        """Project tokens (..., C), normalised by ``norm``, to q, k, v (..., 3, H, D), D = C / H."""
        return self.qkv(normed).unflatten(-1, (3, self.num_heads, -1))  # (..., 3, H, D)

    def merge(self, attended: Tensor) -> tuple[Tensor, Tensor | None]:
        """Normalise attended tokens (..., C) over the full width (Sub-LN) and project them.

        Returns:
            The residual branch (..., C), and its bias, see :func:`mmbeit3.ops.apply_linear`.
        """
        return apply_linear(self.out, add_layer_norm(self.inner_norm, Residual(attended))[1])


class FeedForward(nn.Module):
    """Feed-forward network with Sub-LN, ``norm → fc1 → GELU → inner_norm → fc2``: (..., C) to (..., C).

    The layer applies ``norm`` together with the residual addition before it.

    Args:
        arch: sizes.
    """

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(arch.embed_dims, eps=arch.layer_norm_eps)
        self.fc1 = Linear(arch.embed_dims, arch.ffn_dims)
        self.inner_norm = nn.LayerNorm(arch.ffn_dims, eps=arch.layer_norm_eps)
        self.fc2 = Linear(arch.ffn_dims, arch.embed_dims)

    def forward(self, normed: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the residual branch of tokens (..., C) that are normalised by ``norm``.

        Returns:
            The residual branch (..., C), and its bias, see :func:`mmbeit3.ops.apply_linear`.
        """
        hidden, bias = apply_linear(self.fc1, normed)  # (..., ffn_dims)
        return apply_linear(self.fc2, gelu_layer_norm(self.inner_norm, hidden, bias))


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
