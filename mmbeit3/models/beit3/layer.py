"""BEiT-3's layer: token-wise modules of each modality before and after one attention over all modalities.

:func:`run_layer` computes the layer for all callers. It works on segments: a :class:`Segment` is a set of tokens that use the
same weights in every layer, so a plain pass has one per tower. Its callers differ in two ways:

* Attention is an argument, a callable from the q, k, v of all segments to their attended tokens. :func:`joint_attention`
  concatenates the segments (plain passes and windowed attention);
  :mod:`~mmbeit3.models.beit3.streams` splits them by stream and restores the padding;
  :mod:`~mmbeit3.models.beit3.incremental` writes to and reads from a KV cache.
* Tokens are either (B, N, C) or packed rows (M, C) of several batches without padding. All modules except
  attention work on the last axis, so the same code computes both.

A module that several segments share (attention in the paper's variant, the vision-language FFN) is called once with the packed
rows of all of them: one matrix product, and FSDP gathers its sharded weights once. In a plain pass it is called per segment.

A residual branch is not added where it is computed but where the sum is read next, with the norm of that place: see
:class:`~mmbeit3.ops.Residual`. On GPUs addition and norm are one kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmbeit3.models.beit3.expert import AttentionProjections, Expert, FeedForward
from mmbeit3.models.beit3.tower import Tower
from mmbeit3.ops import Residual, add_layer_norm, attend, region

__all__ = ["Attend", "Attention", "Segment", "joint_attention", "run_layer"]

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention over q, k, v (B, H, N, D) giving (B, H, N, D)."""

Attention = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""Attention over the segments' q, k, v (..., 3, H, D) giving the segments' attended tokens (..., C)."""


class Segment(NamedTuple):
    """Tokens that use the same weights in every layer.

    Attributes:
        tower: the tower of their modality.
        fused: True for the tokens of image-text pairs, which may use a vision-language FFN.
        samples: for packed rows (M, C) the index of each row's sample among all batches, (M,); None for tokens (B, N, C).
        batches: for packed rows the number of samples in each batch.
    """

    tower: Tower
    fused: bool = False
    samples: Tensor | None = None
    batches: Sequence[int] = ()


def run_layer(
    segments: Sequence[Segment],
    residuals: Sequence[Residual],
    index: int,
    attention: Attention,
    fusion_ffn: FeedForward | None = None,
) -> list[Residual]:
    """Run one layer: Sub-LN attention over all segments, then each segment's Sub-LN FFN (arXiv 2208.10442, section 2.1).

    The layer is recomputed in the backward pass if a tower has ``with_cp``.

    Args:
        segments: segments to process.
        residuals: each segment's residual stream.
        index: index of the layer.
        attention: see :data:`Attention`.
        fusion_ffn: the layer's vision-language FFN; fused segments use it instead of their tower's FFN.

    Returns:
        Each segment's residual stream after the layer, before the final norm.
    """
    experts = [cast(Expert, segment.tower.layers[index]) for segment in segments]
    attns = [expert.attn for expert in experts]
    ffns = [
        fusion_ffn if segment.fused and fusion_ffn is not None else expert.ffn
        for segment, expert in zip(segments, experts, strict=True)
    ]

    compile_blocks = any(segment.tower.compile_blocks for segment in segments)
    enter, leave, feed = (region(part, compile_blocks) for part in (_enter_attention, _leave_attention, _feed_forward))

    def layer(*residuals: Residual) -> tuple[Residual, ...]:
        factors = [_draw_depth_factors(segment, r.tokens, index) for segment, r in zip(segments, residuals, strict=True)]
        entered = _call(enter, attns, residuals)
        attended = [Residual(x) for x in attention([qkv for _, qkv in entered])]  # (..., C) each
        merged = _call(leave, attns, attended)
        middle = [
            Residual(tokens, branch, factor, bias)
            for (tokens, _), (branch, bias), (factor, _) in zip(entered, merged, factors, strict=True)
        ]
        left = _call(feed, ffns, middle)
        return tuple(
            Residual(tokens, branch, factor, bias) for (tokens, branch, bias), (_, factor) in zip(left, factors, strict=True)
        )

    if torch.is_grad_enabled() and any(segment.tower.with_cp for segment in segments):
        # Recomputation keeps one tensor per segment instead of tokens and branch.
        return list(checkpoint(layer, *(Residual(residual.sum()) for residual in residuals), use_reentrant=False))
    return list(layer(*residuals))


def _enter_attention(attn: AttentionProjections, residual: Residual) -> tuple[Tensor, Tensor]:
    """Return the tokens (..., C) of a residual stream with its branch added, and their q, k, v (..., 3, H, D)."""
    tokens, normed = add_layer_norm(attn.norm, residual)
    return tokens, attn.project(normed)


def _leave_attention(attn: AttentionProjections, attended: Residual) -> tuple[Tensor, Tensor | None]:
    """Return the branch (..., C) of attended tokens, and its bias."""
    return attn.merge(attended.tokens)


def _feed_forward(ffn: FeedForward, residual: Residual) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the tokens (..., C) of a residual stream with its branch added, the FFN's branch (..., C), and its bias."""
    tokens, normed = add_layer_norm(ffn.norm, residual)
    return tokens, *ffn(normed)


def joint_attention(projected: Sequence[Tensor], attend: Attend = attend) -> list[Tensor]:
    """Attend from all segments to all segments in one softmax.

    Args:
        projected: each segment's q, k, v (B, N_i, 3, H, D).
        attend: attention over the concatenated tokens.

    Returns:
        Each segment's attended tokens, heads concatenated: (B, N_i, C).
    """
    joint = projected[0] if len(projected) == 1 else torch.cat(list(projected), dim=1)  # (B, N, 3, H, D), N = sum of N_i
    # The gradient of unbind along this axis is written in the order of the projections, with no copy after it.
    q, k, v = (x.transpose(1, 2) for x in joint.unbind(2))  # (B, H, N, D) each
    attended = attend(q, k, v).transpose(1, 2).flatten(2)  # (B, N, C)
    return [attended] if len(projected) == 1 else list(attended.split([qkv.shape[1] for qkv in projected], dim=1))


def _call(function: Callable[..., Any], modules: Sequence[nn.Module], residuals: Sequence[Residual]) -> list[Any]:
    """Call a function with the segments' modules; each distinct one once for packed rows, with those of all its segments.

    Args:
        function: takes a module and a residual stream. Returns a tuple of tensors with the rows of its tokens, of vectors (C,),
            which hold for all rows, and of None.
        modules: each segment's module.
        residuals: each segment's residual stream, (B, N_i, C) or (M_i, C).

    Returns:
        Each segment's result.
    """
    # Segments of a plain pass (B, N, C) are not joined: a segment that nothing reads would get zero gradients instead of None.
    if len(set(modules)) == len(modules) or residuals[0].tokens.dim() == 3:
        return [function(module, residual) for module, residual in zip(modules, residuals, strict=True)]
    results: dict[int, Any] = {}
    for module in dict.fromkeys(modules):
        members = [number for number, other in enumerate(modules) if other is module]
        tokens = [residuals[number].sum() for number in members]
        joint = function(module, Residual(torch.cat(tokens)))  # (M, ...) each
        lengths = [len(x) for x in tokens]
        pieces = [[x] * len(members) if x is None or x.dim() == 1 else x.split(lengths) for x in joint]
        results.update(zip(members, zip(*pieces, strict=True), strict=True))
    return [results[number] for number in range(len(modules))]


def _draw_depth_factors(segment: Segment, tokens: Tensor, index: int) -> tuple[Tensor | None, Tensor | None]:
    """Draw the factors of stochastic depth (arXiv 1603.09382) for the layer's two residual branches.

    Returns:
        For each branch a factor per sample, 0 or 1 / (1 - rate), which broadcasts to the segment's tokens: (B, 1, 1) or (M, 1).
        None without stochastic depth.
    """
    drop_path = cast(DropPath, segment.tower.drop_paths[index])
    if not drop_path.training or not drop_path.drop_prob:
        return None, None

    def draw() -> Tensor:
        if segment.samples is None:
            return drop_path(tokens.new_ones(len(tokens), 1, 1))  # (B, 1, 1)
        factors = torch.cat([drop_path(tokens.new_ones(size, 1)) for size in segment.batches])  # (S, 1)
        return factors[segment.samples]  # (M, 1)

    return draw(), draw()
