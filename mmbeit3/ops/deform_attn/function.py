"""Deformable attention as functions, and the choice of their kernel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from mmbeit3.ops.deform_attn import reference
from mmbeit3.ops.deform_attn.locations import locations_and_weights
from mmbeit3.ops.deform_attn.operators import attend_points, kernel_module
from mmbeit3.ops.exporting import portable
from mmbeit3.ops.log import log_once

__all__ = ["KERNELS", "fused_ms_deform_attn", "ms_deform_attn", "usable_kernels"]

KERNELS = ("cpu", "triton", "mmcv", "reference")
"""Names of the kernels, in the order in which they are tried."""

_VARIABLE = "MMBEIT3_DEFORM_ATTN"
_FASTEST = {"cpu": "cpu", "cuda": "triton"}
_READ_BY_TRITON = (torch.float32, torch.float16, torch.bfloat16)


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]] | Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    kernel: str | None = None,
) -> Tensor:
    """Multi-scale deformable attention: the weighted sum of values sampled at points (Deformable DETR, arXiv 2010.04159).

    Sampling is bilinear between cell centres (``align_corners=False``), zero outside of a map. Coordinates and weights are
    float32 also for values in half precision, in which they would be wrong by up to a twentieth of a cell on large maps;
    float64 values are computed in float64. Differentiable once: the compiled kernels have no second derivative, and
    ``grid_sample``, which the reference uses, has none before PyTorch 2.12.

    Args:
        value: (B, S, heads, d), the cells of each level row-major, levels concatenated, S = sum of h * w.
        spatial_shapes: (h, w) of each of L levels. A tensor (L, 2) on a GPU is read by the Triton kernels alone, so that the
            host does not wait for the device; if it does not fit ``value``, their output is NaN.
        sampling_locations: (B, Q, heads, L, P, 2), (x, y) with 0 to 1 spanning the level's map.
        attention_weights: (B, Q, heads, L, P).
        kernel: one of :data:`KERNELS`; default the environment variable ``MMBEIT3_DEFORM_ATTN``, else the first kernel that
            supports these tensors.

    Returns:
        (B, Q, heads * d) in the dtype of ``value``.

    Raises:
        ValueError: if shapes disagree, or ``kernel`` is unknown.
        RuntimeError: if ``kernel`` cannot be used; the message says why.
    """
    chosen = _chosen(kernel, value)
    if chosen == "triton":
        points, scores = _readable(sampling_locations), _readable(attention_weights)
        return attend_points(value, *_levels(spatial_shapes, value), None, points, scores, chosen)
    sizes = spatial_shapes.tolist() if isinstance(spatial_shapes, Tensor) else spatial_shapes
    shapes = [(h, w) for h, w in sizes]
    _check(value, shapes, sampling_locations, attention_weights)
    exact = torch.float64 if value.dtype == torch.float64 else torch.float32
    locations, weights = sampling_locations.to(exact), attention_weights.to(exact)
    if chosen == "reference":
        return reference.forward(value, shapes, locations, weights)
    return attend_points(value, [side for shape in shapes for side in shape], None, None, locations, weights, chosen)


def fused_ms_deform_attn(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]] | Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    kernel: str | None = None,
) -> Tensor:
    """Deformable attention from the outputs of a layer's projections: softmax, locations and :func:`ms_deform_attn`.

    The Triton kernels compute everything in one launch forward and one backward. Other kernels get locations and weights that
    PyTorch computes; so do the Triton kernels if ``reference_points`` need a gradient.

    Args:
        value: (B, S, heads, d), see :func:`ms_deform_attn`.
        spatial_shapes: (h, w) of each of L levels, see :func:`ms_deform_attn`.
        reference_points: (1 or B, Q, L, 2), points (x, y) with 0 to 1 spanning the level's map; or (1 or B, Q, L, 4), boxes
            (x, y, w, h), with the centre first.
        sampling_offsets: (B, Q, heads, L, P, 2), in cells from reference points; from boxes, P is half a side.
        attention_logits: (B, Q, heads, L * P), whose softmax gives the weights.
        kernel: see :func:`ms_deform_attn`.

    Returns:
        (B, Q, heads * d) in the dtype of ``value``.

    Raises:
        ValueError, RuntimeError: see :func:`ms_deform_attn`.
    """
    if (
        sampling_offsets.dtype in _READ_BY_TRITON
        and attention_logits.dtype in _READ_BY_TRITON
        and not (reference_points.requires_grad and torch.is_grad_enabled())
        and _chosen(kernel, value) == "triton"
    ):
        levels = _levels(spatial_shapes, value)
        # Views of one product are copied here and not at the launch, so that the backward pass has the copy.
        samples = sampling_offsets.contiguous(), attention_logits.contiguous()
        return attend_points(value, *levels, _readable(reference_points), *samples, "triton")
    locations, weights = locations_and_weights(spatial_shapes, reference_points, sampling_offsets, attention_logits)
    return ms_deform_attn(value, spatial_shapes, locations, weights, kernel)


def usable_kernels(device: torch.device, dtype: torch.dtype) -> dict[str, str | None]:
    """Map each kernel's name to the reason why it does not support this device and dtype, or None."""
    reasons = {name: kernel_module(name).unavailable(device, dtype) for name in KERNELS if name != "reference"}
    return {**reasons, "reference": None}


def _chosen(kernel: str | None, value: Tensor) -> str:
    # An exported graph may contain only PyTorch's own operators, which the reference consists of.
    return "reference" if portable() else _choose(kernel or "", value.device.type, value.dtype)


@torch.compiler.assume_constant_result
def _choose(name: str, device_type: str, dtype: torch.dtype) -> str:
    """Choose the kernel: the requested one, or the first that supports device and dtype."""
    name = name or os.environ.get(_VARIABLE, "")
    return _first_usable(device_type, dtype) if not name else _requested(name, device_type, dtype)


@cache
def _requested(name: str, device_type: str, dtype: torch.dtype) -> str:
    if name not in KERNELS:
        raise ValueError(f"deformable attention has no kernel '{name}': choose one of {', '.join(KERNELS)}")
    if reason := usable_kernels(torch.device(device_type), dtype)[name]:
        raise RuntimeError(f"deformable attention cannot use kernel '{name}': {reason}")
    return name


@cache
def _first_usable(device_type: str, dtype: torch.dtype) -> str:
    reasons = usable_kernels(torch.device(device_type), dtype)
    chosen = next(name for name, reason in reasons.items() if reason is None)
    if chosen == "reference" and dtype != torch.float64 and device_type in _FASTEST:
        # Slower by an order of magnitude, so log why.
        log_once(f"deformable attention runs in its slow reference form: {reasons[_FASTEST[device_type]]}")
    return chosen


def _readable(tensor: Tensor) -> Tensor:
    """Convert a tensor that the Triton kernels cannot read to float32."""
    return tensor if tensor.dtype in _READ_BY_TRITON else tensor.float()


def _levels(spatial_shapes: Sequence[tuple[int, int]] | Tensor, value: Tensor) -> tuple[list[int], Tensor | None]:
    """Return the levels as a flat list, or as a tensor if reading it would synchronise the device of ``value``."""
    if isinstance(spatial_shapes, Tensor):
        if spatial_shapes.device == value.device:
            return [], spatial_shapes
        spatial_shapes = spatial_shapes.tolist()
    return [side for shape in spatial_shapes for side in shape], None


def _check(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> None:
    if value.ndim != 4 or locations.ndim != 6 or locations.shape[-1] != 2:
        raise ValueError(
            "ms_deform_attn needs value (B, S, heads, d) and sampling_locations (B, Q, heads, L, P, 2), "
            f"got {tuple(value.shape)} and {tuple(locations.shape)}"
        )
    cells = sum(h * w for h, w in shapes)
    if value.shape[1] != cells:
        raise ValueError(f"ms_deform_attn: value has {value.shape[1]} cells, the spatial shapes {shapes} have {cells}")
    B, _, heads, _ = value.shape
    wanted = (B, locations.shape[1], heads, len(shapes), locations.shape[4])
    if locations.shape[:5] != wanted or weights.shape != wanted:
        raise ValueError(
            f"ms_deform_attn: sampling_locations and attention_weights must start with (B, Q, heads, L, P) = {wanted}, "
            f"got {tuple(locations.shape[:5])} and {tuple(weights.shape)}"
        )
