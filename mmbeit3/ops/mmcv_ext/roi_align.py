"""RoIAlign on torchvision's operator."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor

from mmbeit3.ops.precision import wide_dtype

__all__ = ["roi_align_backward", "roi_align_forward"]

_MAX, _AVERAGE = range(2)


def _check_mode(pool_mode: int) -> None:
    if pool_mode != _AVERAGE:
        raise NotImplementedError(
            "RoIAlign with pool_mode='max' needs mmcv's compiled module; mmbeit3's replacement supports only pool_mode='avg'"
        )


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output`` (K, C, aligned_height, aligned_width) from ``input`` (B, C, H, W) at ``rois`` (K, 5).

    Half precision is computed in float32, float64 in float64. ``argmax_*`` belong to max pooling and are not changed.
    """
    _check_mode(pool_mode)
    dtype = wide_dtype(input, rois)
    pooled = torchvision.ops.roi_align(
        input.to(dtype), rois.to(dtype), (aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``grad_input`` (B, C, H, W) from ``grad_output`` (K, C, aligned_height, aligned_width)."""
    _check_mode(pool_mode)
    B, C, H, W = grad_input.shape
    dtype = wide_dtype(grad_output, rois)
    # Called directly, because mmcv's autograd function wraps this call, and torchvision's public function has only autograd.
    gradient = torch.ops.torchvision._roi_align_backward(
        grad_output.to(dtype).contiguous(),
        rois.to(dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        B,
        C,
        H,
        W,
        sampling_ratio,
        aligned,
    )
    grad_input.copy_(gradient)
