"""Multi-scale deformable attention with the signatures of mmcv's ops."""

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
    """See :func:`mmbeit3.ops.ms_deform_attn`. Level starts are computed from the shapes; ``im2col_step`` is not used."""
    return ms_deform_attn(value, value_spatial_shapes, sampling_locations, attention_weights)


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
        output = ms_deform_attn(inputs[0], value_spatial_shapes, inputs[1], inputs[2])
        gradients = torch.autograd.grad(output, inputs, grad_output)
    for buffer, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), gradients, strict=True):
        buffer.copy_(gradient)


def replace_fallback() -> None:
    """Replace mmcv's PyTorch fallback of deformable attention, also for mmdet's and mmseg's models.

    mmcv uses the fallback on CPUs and, for bfloat16, on GPUs. The original function remains available as ``__wrapped__``.
    """
    from mmcv.ops import multi_scale_deform_attn as mmcv_module

    fallback = mmcv_module.multi_scale_deformable_attn_pytorch
    if hasattr(fallback, "__wrapped__"):
        return

    @wraps(fallback)
    def replacement(
        value: Tensor, value_spatial_shapes: Tensor, sampling_locations: Tensor, attention_weights: Tensor
    ) -> Tensor:
        return ms_deform_attn(value, value_spatial_shapes, sampling_locations, attention_weights)

    mmcv_module.multi_scale_deformable_attn_pytorch = replacement
