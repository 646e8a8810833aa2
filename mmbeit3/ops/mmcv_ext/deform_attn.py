"""Multi-scale deformable attention as mmcv's autograd function calls it."""

from __future__ import annotations

import torch
from torch import Tensor

from mmbeit3.ops.ms_deform_attn import ms_deform_attn

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
