"""The operators ``mmbeit3::ms_deform_attn`` and ``mmbeit3::ms_deform_attn_backward``, and their autograd function.

``torch.library.custom_op`` would be shorter, but its wrappers in Python take longer than the kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Kernel", "attend_points", "kernel_module"]

_SIGNATURE = "Tensor value, SymInt[] shapes, Tensor? sizes, Tensor? references, Tensor points, Tensor scores, str kernel"

_LIBRARY = torch.library.Library("mmbeit3", "FRAGMENT")
_LIBRARY.define(f"ms_deform_attn({_SIGNATURE}) -> Tensor")
_LIBRARY.define(f"ms_deform_attn_backward(Tensor grad_output, {_SIGNATURE}) -> (Tensor, Tensor, Tensor)")


class Kernel(Protocol):
    """The interface of a kernel's module. Only the Triton kernels accept a tensor of shapes, and references."""

    def unavailable(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Return why the kernel cannot be used, or None."""

    def forward(self, value: Tensor, shapes: Any, points: Tensor, scores: Tensor, *references: Tensor) -> Tensor:
        """Compute the output."""

    def backward(
        self, value: Tensor, shapes: Any, points: Tensor, scores: Tensor, grad_output: Tensor, *references: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the gradients of value, points and scores."""


@cache
def kernel_module(name: str) -> Kernel:
    """Return the module of a kernel."""
    return cast(Kernel, import_module(f"mmbeit3.ops.deform_attn.{name}_kernel"))


def _forward(
    value: Tensor,
    shapes: Sequence[int],
    sizes: Tensor | None,
    references: Tensor | None,
    points: Tensor,
    scores: Tensor,
    kernel: str,
) -> Tensor:
    optional = () if references is None else (references,)
    return kernel_module(kernel).forward(value, _pairs(shapes) if sizes is None else sizes, points, scores, *optional)


def _backward(
    grad_output: Tensor,
    value: Tensor,
    shapes: Sequence[int],
    sizes: Tensor | None,
    references: Tensor | None,
    points: Tensor,
    scores: Tensor,
    kernel: str,
) -> tuple[Tensor, Tensor, Tensor]:
    optional = () if references is None else (references,)
    levels = _pairs(shapes) if sizes is None else sizes
    return kernel_module(kernel).backward(value, levels, points, scores, grad_output, *optional)


def _pairs(flat: Sequence[int]) -> tuple[tuple[int, int], ...]:
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _forward_fake(value: Tensor, shapes: Any, sizes: Any, references: Any, points: Tensor, scores: Any, kernel: str) -> Tensor:
    B, Q = points.shape[:2]
    return value.new_empty(B, Q, value.shape[2] * value.shape[3])  # (B, Q, heads * d)


def _backward_fake(
    grad_output: Tensor, value: Tensor, shapes: Any, sizes: Any, references: Any, points: Tensor, scores: Tensor, kernel: str
) -> tuple[Tensor, Tensor, Tensor]:
    return value.new_empty(value.shape), points.new_empty(points.shape), scores.new_empty(scores.shape)


for _name, _call, _fake in (
    ("ms_deform_attn", _forward, _forward_fake),
    ("ms_deform_attn_backward", _backward, _backward_fake),
):
    _LIBRARY.impl(_name, _call, "CompositeExplicitAutograd")
    # Gradients are recorded by the function below, which calls the operators. PyTorch's fallback would look for them again.
    _LIBRARY.impl(_name, torch.library.fallthrough_kernel, "Autograd")
    torch.library.register_fake(f"mmbeit3::{_name}", _fake, lib=_LIBRARY)

_forward_op = torch.ops.mmbeit3.ms_deform_attn.default
_backward_op = torch.ops.mmbeit3.ms_deform_attn_backward.default


class _Attention(torch.autograd.Function):
    """Differentiable once: the backward operator has no derivative, so that a second one raises an error."""

    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        shapes: list[int],
        sizes: Tensor | None,
        references: Tensor | None,
        points: Tensor,
        scores: Tensor,
        kernel: str,
    ) -> Tensor:
        ctx.save_for_backward(value, sizes, references, points, scores)
        ctx.shapes, ctx.kernel = shapes, kernel
        return _forward_op(value, shapes, sizes, references, points, scores, kernel)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        value, sizes, references, points, scores = ctx.saved_tensors
        of_value, of_points, of_scores = _backward_op(
            grad_output, value, ctx.shapes, sizes, references, points, scores, ctx.kernel
        )
        return of_value, None, None, None, of_points, of_scores, None


def attend_points(
    value: Tensor,
    shapes: list[int],
    sizes: Tensor | None,
    references: Tensor | None,
    points: Tensor,
    scores: Tensor,
    kernel: str,
) -> Tensor:
    """Call a kernel, and record the call for the gradients of value, points and scores.

    Args:
        value: (B, S, heads, d).
        shapes: height and width of each level in turn; not read if there are ``sizes``.
        sizes: (L, 2), height and width of each level on the device, or None.
        references: see :func:`mmbeit3.ops.deform_attn.triton_kernel.forward`; gets no gradient.
        points: (B, Q, heads, L, P, 2).
        scores: (B, Q, heads, L, P), or (B, Q, heads, L * P) with references.
        kernel: name of the kernel.

    Returns:
        (B, Q, heads * d).
    """
    if torch.is_grad_enabled() and (value.requires_grad or points.requires_grad or scores.requires_grad):
        return _Attention.apply(value, shapes, sizes, references, points, scores, kernel)
    return _forward_op(value, shapes, sizes, references, points, scores, kernel)
