"""Deformable attention with mmcv's compiled CUDA op, if mmcv has one.

It computes coordinates in the dtype of the values, so values in half precision are left to other kernels. The forward pass is
deterministic. The gradient of the values is not, because its sum has no fixed order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmbeit3.ops import mmcv_ext

__all__ = ["backward", "forward", "unavailable"]

_STEP = 64


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return in one line why this kernel does not support a dtype on a device, or None if it does."""
    if device.type != "cuda":
        return f"mmcv's kernel cannot reach {device.type} memory"
    if dtype != torch.float32:
        return f"mmcv's kernel would compute coordinates in {dtype}"
    if not mmcv_ext.is_compiled():
        return "mmcv is not installed or has no compiled ops"
    return None


def forward(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Compute the weighted sum of values sampled at given points in float32, see :func:`mmbeit3.ops.ms_deform_attn`."""
    from mmcv._ext import ms_deform_attn_forward

    if not locations.shape[0] * locations.shape[1]:
        return value.new_zeros(*locations.shape[:2], value.shape[2] * value.shape[3])
    tensors = [tensor.contiguous() for tensor in (value, *_levels(shapes, value.device), locations, weights)]
    return ms_deform_attn_forward(*tensors, im2col_step=_step(value))


def backward(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor, grad_output: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of ``value``, ``locations`` and ``weights``."""
    from mmcv._ext import ms_deform_attn_backward

    inputs = [tensor.contiguous() for tensor in (value, *_levels(shapes, value.device), locations, weights, grad_output)]
    gradients = (torch.zeros_like(inputs[0]), torch.zeros_like(inputs[3]), torch.zeros_like(inputs[4]))
    if locations.shape[0] * locations.shape[1]:
        ms_deform_attn_backward(*inputs, *gradients, im2col_step=_step(value))
    return gradients


def _levels(shapes: list[tuple[int, int]], device: torch.device) -> tuple[Tensor, Tensor]:
    sizes = torch.tensor(shapes, dtype=torch.long)
    starts = torch.cat([sizes.new_zeros(1), sizes.prod(dim=1).cumsum(0)[:-1]])
    return sizes.to(device), starts.to(device)


def _step(value: Tensor) -> int:
    """Return the number of images per launch, a divisor of the batch size."""
    batch = value.shape[0]
    return next(step for step in range(min(batch, _STEP), 0, -1) if batch % step == 0)
