"""Multi-scale deformable attention as mmcv calls it."""

from __future__ import annotations

from functools import wraps

import torch
from torch import Tensor

from mmbeit3.ops.deform_attn import ms_deform_attn

__all__ = ["ms_deform_attn_backward", "ms_deform_attn_forward"]


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """See :func:`mmbeit3.ops.ms_deform_attn`; the level starts follow from the shapes, the step is of no use here."""
    return ms_deform_attn(value, value_spatial_shapes.tolist(), sampling_locations, attention_weights)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Fill the three gradient buffers."""
    with torch.enable_grad():
        inputs = [tensor.detach().requires_grad_() for tensor in (value, sampling_locations, attention_weights)]
        output = ms_deform_attn(inputs[0], value_spatial_shapes.tolist(), inputs[1], inputs[2])
        gradients = torch.autograd.grad(output, inputs, grad_output)
    for buffer, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True):
        buffer.copy_(gradient)


def replace_fallback() -> None:
    """Have mmcv's layer, and with it mmdet's and mmseg's models, call ours where mmcv would fall back to plain PyTorch.

    That is on CPUs and, for bfloat16, on GPUs. mmcv's own form stays there as ``__wrapped__`` of what takes its place.
    """
    from mmcv.ops import multi_scale_deform_attn as theirs

    fallback = theirs.multi_scale_deformable_attn_pytorch
    if hasattr(fallback, "__wrapped__"):
        return

    @wraps(fallback)
    def ours(value: Tensor, value_spatial_shapes: Tensor, sampling_locations: Tensor, attention_weights: Tensor) -> Tensor:
        return ms_deform_attn(value, value_spatial_shapes, sampling_locations, attention_weights)

    theirs.multi_scale_deformable_attn_pytorch = ours
