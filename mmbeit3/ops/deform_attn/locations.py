"""Sampling locations and attention weights of deformable attention, in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmbeit3.ops.caching import cached_constant
from mmbeit3.ops.exporting import portable
from mmbeit3.ops.precision import widened

__all__ = ["locations_and_weights"]

_SHORT = 32
"""Largest number of values of a row that :func:`_softmax` computes over the first dimension."""


def locations_and_weights(
    spatial_shapes: Sequence[tuple[int, int]] | Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the arguments of :func:`mmbeit3.ops.ms_deform_attn` for those of :func:`mmbeit3.ops.fused_ms_deform_attn`.

    Returns:
        Locations (B, Q, heads, L, P, 2), with 0 to 1 spanning the level's map, and weights (B, Q, heads, L, P). Both are
        float32 also for half precision, see :func:`mmbeit3.ops.ms_deform_attn`; float64 stays float64.

    Raises:
        ValueError: if reference points have another size than 2 or 4.
    """
    offsets = widened(sampling_offsets)
    references = reference_points.to(offsets.dtype)[:, :, None, :, None]  # (1 or B, Q, 1, L, 1, 2 or 4)
    if references.shape[-1] == 4:
        references, steps = references[..., :2], references[..., 2:] * (0.5 / offsets.shape[4])
    elif references.shape[-1] == 2:
        steps = _steps(spatial_shapes, offsets.device, offsets.dtype)
    else:
        raise ValueError(f"deformable attention: reference points must have 2 or 4 numbers, got {references.shape[-1]}")
    locations = torch.addcmul(references, offsets, steps)
    return locations, _softmax(widened(attention_logits)).view(offsets.shape[:-1])


def _softmax(logits: Tensor) -> Tensor:
    """Compute the softmax over the last dimension, which has few values, such as 12 points.

    PyTorch's kernel for the last dimension computes such short rows without vector instructions on CPUs. Over the first
    dimension it takes about a quarter of the time, the two copies included.
    """
    if logits.device.type != "cpu" or logits.shape[-1] > _SHORT or torch.compiler.is_compiling() or portable():
        return logits.softmax(dim=-1)
    return logits.movedim(-1, 0).contiguous().softmax(dim=0).movedim(0, -1).contiguous()


def _steps(shapes: Sequence[tuple[int, int]] | Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the width and height of a cell of each level as fractions of the map, (L, 1, 2)."""
    if isinstance(shapes, Tensor):
        return shapes.to(device, dtype).flip(-1).reciprocal()[:, None]
    return _steps_of_sizes(tuple(shapes), device, dtype)


@cached_constant
def _steps_of_sizes(shapes: tuple[tuple[int, int], ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    sizes = torch.tensor([(w, h) for h, w in shapes], dtype=dtype, device=device)
    return sizes.reciprocal()[:, None]  # (L, 1, 2)
