"""Layer norm fused with what comes before it: a residual addition or GELU.

Under autocast, PyTorch computes layer norms in float32: it copies their input to float32 and writes the result in float32, and
the next matrix product copies that to half precision. GELU and residual additions are kernels of their own. On GPUs this
traffic took more time than the matrix products of a training step. The Triton kernels read each tensor once in its own dtype,
compute in float32, and write the compute dtype. The residual stream stays float32, as under autocast.

Everywhere else (CPUs, float32, exported or compiled graphs) PyTorch's operators are used. ``torch.compile`` fuses them itself.
"""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mmbeit3.ops.exporting import portable
from mmbeit3.ops.linear import is_plain
from mmbeit3.ops.log import log_once

__all__ = ["Residual", "add_layer_norm", "apply_linear", "gelu_layer_norm"]


class Residual(NamedTuple):
    """A residual stream: tokens, and a branch that is still to be added to them: ``tokens + factor * (branch + bias)``.

    The addition is left to the place that reads the sum next, :func:`add_layer_norm`, where it needs no kernel of its own.

    Attributes:
        tokens: (..., C).
        branch: shaped as ``tokens``; None if nothing is to be added.
        factor: factor of the branch per sample, which broadcasts to it; None means 1. It gets no gradient.
        bias: (C,), the bias that :func:`apply_linear` left out of the branch; None means 0.
    """

    tokens: Tensor
    branch: Tensor | None = None
    factor: Tensor | None = None
    bias: Tensor | None = None

    def sum(self) -> Tensor:
        """Add the branch: tokens (..., C)."""
        branch = self.branch
        if branch is None:
            return self.tokens
        if self.bias is not None:
            branch = branch + self.bias.to(branch.dtype)
        return self.tokens + (branch if self.factor is None else branch * self.factor.to(branch.dtype))


def add_layer_norm(norm: nn.Module, residual: Residual) -> tuple[Tensor, Tensor]:
    """Add the branch of a residual stream, then normalise the sum.

    Args:
        norm: layer norm over the last axis.
        residual: the residual stream, (..., C).

    Returns:
        The sum, and the normalised sum. With the Triton kernels the second is in the compute dtype: that of autocast, or of
        the tokens. Use the returned sum from here on: its gradient is then added in the same kernel.
    """
    dtype = _kernel_dtype(norm, residual.tokens)
    if dtype is None:
        total = residual.sum()
        return total, norm(total)
    return _FusedNorm.apply(*residual, norm.weight, norm.bias, norm.eps, False, dtype)


def gelu_layer_norm(norm: nn.Module, hidden: Tensor, bias: Tensor | None = None) -> Tensor:
    """Normalise ``gelu(hidden + bias)`` over the last axis of (..., C); bias and dtype as in :func:`add_layer_norm`."""
    dtype = _kernel_dtype(norm, hidden)
    if dtype is None:
        return norm(F.gelu(hidden if bias is None else hidden + bias.to(hidden.dtype)))
    return _FusedNorm.apply(hidden, None, None, bias, norm.weight, norm.bias, norm.eps, True, dtype)[1]


def apply_linear(layer: nn.Linear, input: Tensor) -> tuple[Tensor, Tensor | None]:
    """Apply a linear layer, and leave its bias to :func:`add_layer_norm` or :func:`gelu_layer_norm` where their kernels run.

    The kernels sum the bias' gradient on the way, for which PyTorch reads the whole gradient once more.

    Args:
        layer: linear layer.
        input: (..., in).

    Returns:
        The result (..., out), and the bias (out,) that is still to be added, or None if the result contains it.
    """
    if not is_plain(layer) or _compute_dtype(input) is None:
        return layer(input), None
    return F.linear(input, layer.weight), layer.bias


def _kernel_dtype(norm: nn.Module, tokens: Tensor) -> torch.dtype | None:
    """Return the dtype of normalised tokens if the kernels compute them, or None for the plain form."""
    if type(norm) is not nn.LayerNorm or norm.weight is None or norm.bias is None or len(norm.normalized_shape) != 1:
        return None
    dtype = _compute_dtype(tokens)
    return dtype if dtype is not None and _kernel().supported(tokens) else None


def _compute_dtype(tokens: Tensor) -> torch.dtype | None:
    """Return the dtype of matrix products with these tokens, if the kernels can follow them, or None."""
    kind = tokens.device.type
    if torch.compiler.is_compiling() or portable() or not _usable(kind):
        return None
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tokens.dtype
    # Float32 results stay those of PyTorch's operators.
    return dtype if dtype in (torch.float16, torch.bfloat16) else None


@cache
def _usable(kind: str) -> bool:
    """Return True if the kernels run on a type of device; Triton's interpreter computes on CPUs, for tests."""
    if kind != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return False
    reason = _kernel().unavailable(torch.device(kind))
    if reason is not None:
        log_once(f"layer norms on {kind} devices use PyTorch's kernels, which are slower: {reason}")
    return reason is None


@cache
def _kernel() -> ModuleType:
    # Imported at first use, because importing triton takes long.
    from mmbeit3.ops.layer_norm import triton_kernel

    return triton_kernel


class _FusedNorm(torch.autograd.Function):
    """The sum and its norm, computed by one kernel each way."""

    @staticmethod
    def forward(
        ctx: Any,
        tokens: Tensor,
        branch: Tensor | None,
        factor: Tensor | None,
        shift: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        gelu: bool,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        tokens = tokens if _rows_are_dense(tokens) else tokens.contiguous()
        added = None if branch is None else branch.contiguous()
        total, normed, statistics = _kernel().forward(tokens, added, factor, shift, weight, bias, eps, gelu, dtype)
        # Without a branch, tokens pass through, so that the backward kernel also adds the gradient of their other uses.
        total = tokens if branch is None else total
        ctx.save_for_backward(total, weight, statistics, factor, shift)
        ctx.gelu = gelu
        ctx.dtypes = tokens.dtype, None if branch is None else branch.dtype, bias.dtype
        ctx.set_materialize_grads(False)
        return total, normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor | None, grad_normed: Tensor | None) -> tuple[Tensor | None, ...]:
        total, weight, statistics, factor, shift = ctx.saved_tensors
        tokens_dtype, branch_dtype, bias_dtype = ctx.dtypes
        if grad_normed is None:
            grad_normed = torch.zeros_like(total)
        grad_total = None if grad_total is None else grad_total.contiguous()
        grad_tokens, grad_branch, partial = _kernel().backward(
            grad_normed.contiguous(), grad_total, total, weight, statistics, factor, shift, branch_dtype, ctx.gelu
        )
        by_weight, by_bias, *by_shift = partial.sum(0)  # (C,) each
        return (
            grad_tokens.to(tokens_dtype),
            None if branch_dtype is None else grad_branch,
            None,
            None if shift is None else by_shift[0].to(shift.dtype),
            by_weight.to(weight.dtype),
            by_bias.to(bias_dtype),
            None,
            None,
            None,
        )


def _rows_are_dense(tokens: Tensor) -> bool:
    """Return True if the last two axes of (B, N, C) or (M, C) are contiguous, as after dropping prefix tokens."""
    return tokens.dim() in (2, 3) and tokens.stride(-1) == 1 and tokens.stride(-2) == tokens.shape[-1]
