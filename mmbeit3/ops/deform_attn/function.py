"""Deformable attention as one function, and the choice of its kernel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from mmbeit3.ops.deform_attn import reference
from mmbeit3.ops.exporting import portable
from mmbeit3.ops.log import log_once

__all__ = ["KERNELS", "ms_deform_attn", "usable_kernels"]

KERNELS = ("cpu", "triton", "mmcv", "reference")
"""Names of the kernels, in the order in which they are tried. (mmcv's kernel was not timed against the others: no GPU.)"""

_VARIABLE = "MMBEIT3_DEFORM_ATTN"
_FASTEST = {"cpu": "cpu", "cuda": "triton"}


class Kernel(Protocol):
    """The interface of a kernel's module."""

    def unavailable(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Return why the kernel cannot be used, or None."""

    def forward(self, value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
        """Compute the output."""

    def backward(
        self, value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor, grad_output: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the gradients."""


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
        spatial_shapes: (h, w) of each of L levels; Python ints avoid a device synchronisation.
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
    sizes = spatial_shapes.tolist() if isinstance(spatial_shapes, Tensor) else spatial_shapes
    shapes = [(h, w) for h, w in sizes]
    _check(value, shapes, sampling_locations, attention_weights)
    exact = torch.float64 if value.dtype == torch.float64 else torch.float32
    locations, weights = sampling_locations.to(exact), attention_weights.to(exact)
    # An exported graph may contain only PyTorch's own operators, which the reference consists of.
    chosen = "reference" if portable() else _choose(kernel or "", value.device.type, value.dtype)
    if chosen == "reference":
        return reference.forward(value, shapes, locations, weights)
    return _forward_op(value, [side for shape in shapes for side in shape], locations, weights, chosen)


def usable_kernels(device: torch.device, dtype: torch.dtype) -> dict[str, str | None]:
    """Map each kernel's name to the reason why it does not support this device and dtype, or None."""
    reasons = {name: _module(name).unavailable(device, dtype) for name in KERNELS if name != "reference"}
    return {**reasons, "reference": None}


@cache
def _module(name: str) -> Kernel:
    return cast(Kernel, import_module(f"mmbeit3.ops.deform_attn.{name}_kernel"))


@torch.compiler.assume_constant_result
def _choose(name: str, device_type: str, dtype: torch.dtype) -> str:
    """Choose the kernel: the requested one, or the first that supports device and dtype."""
    name = name or os.environ.get(_VARIABLE, "")
    if not name:
        return _first_usable(device_type, dtype)
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


@torch.library.custom_op("mmbeit3::ms_deform_attn", mutates_args=())
def _forward_op(value: Tensor, shapes: Sequence[int], locations: Tensor, weights: Tensor, kernel: str) -> Tensor:
    return _module(kernel).forward(value, _pairs(shapes), locations, weights)


@_forward_op.register_fake
def _forward_fake(value: Tensor, shapes: Sequence[int], locations: Tensor, weights: Tensor, kernel: str) -> Tensor:
    B, Q = locations.shape[:2]
    return value.new_empty(B, Q, value.shape[2] * value.shape[3])  # (B, Q, heads * d)


@torch.library.custom_op("mmbeit3::ms_deform_attn_backward", mutates_args=())
def _backward_op(
    grad_output: Tensor, value: Tensor, shapes: Sequence[int], locations: Tensor, weights: Tensor, kernel: str
) -> tuple[Tensor, Tensor, Tensor]:
    return _module(kernel).backward(value, _pairs(shapes), locations, weights, grad_output)


@_backward_op.register_fake
def _backward_fake(
    grad_output: Tensor, value: Tensor, shapes: Sequence[int], locations: Tensor, weights: Tensor, kernel: str
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in (value, locations, weights))  # type: ignore[return-value]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    value, shapes, locations, weights, kernel = inputs
    ctx.save_for_backward(value, locations, weights)
    ctx.shapes, ctx.kernel = shapes, kernel


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    value, locations, weights = ctx.saved_tensors
    gradients = _backward_op(grad_output, value, ctx.shapes, locations, weights, ctx.kernel)
    return gradients[0], None, gradients[1], gradients[2], None


_forward_op.register_autograd(_backward, setup_context=_setup_context)


def _pairs(flat: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


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
