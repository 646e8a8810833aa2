"""Launches of the fused layer norms' Triton kernels, as two operators that :mod:`.function` differentiates.

Both operators run one kernel. They are registered, so that fake tensors and counters of operators see them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmbeit3.ops import triton_tools
from mmbeit3.ops.triton_tools import HAS_TRITON, interpreted, num_multiprocessors

__all__ = ["MAX_COLUMNS", "backward", "forward", "supported", "unavailable"]

MAX_COLUMNS = 16384
"""Widest row that one program holds in its registers."""

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_VALUES_PER_THREAD = 8
_PROGRAM_WARPS = 16
"""Warps of the backward kernel that run on a multiprocessor at once. More hide more latency, but each program writes
partial sums of the weights' gradients, which must stay few compared to the rows."""

if HAS_TRITON:
    from mmbeit3.ops.layer_norm.triton_code import backward_kernel, forward_kernel


def unavailable(device: torch.device) -> str | None:
    """Return in one line why the kernels cannot run on a device, or None if they can."""
    return None if HAS_TRITON and interpreted(forward_kernel) else triton_tools.unavailable(device)


def supported(tokens: Tensor) -> bool:
    """Return True if the kernels can read tokens (..., C) of this dtype and width."""
    return tokens.dtype in _DTYPES and 0 < tokens.shape[-1] <= MAX_COLUMNS


_library = torch.library.Library("mmbeit3", "FRAGMENT")
_library.define(
    "layer_norm(Tensor tokens, Tensor? branch, Tensor? factor, Tensor? shift, Tensor weight, Tensor bias, float eps, "
    "bool gelu, ScalarType dtype) -> (Tensor total, Tensor normed, Tensor statistics)"
)
_library.define(
    "layer_norm_backward(Tensor grad_normed, Tensor? grad_total, Tensor source, Tensor weight, Tensor statistics, "
    "Tensor? factor, Tensor? shift, ScalarType? branch_dtype, bool gelu) "
    "-> (Tensor grad_tokens, Tensor grad_branch, Tensor partial)"
)


def _launch_forward(
    tokens: Tensor,
    branch: Tensor | None,
    factor: Tensor | None,
    shift: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    gelu: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``total = tokens + factor * (branch + shift)`` and its norm, or the norm of ``gelu(tokens + shift)``.

    Args:
        tokens: (B, N, C) or (M, C); the last two axes are contiguous.
        branch: contiguous, shaped as ``tokens``, or None.
        factor: numbers of which each belongs to equally many adjacent rows, or None.
        shift: (C,), the bias of the linear layer before, or None.
        weight, bias: (C,).
        eps: added to the variance.
        gelu: True to apply GELU to ``tokens`` before the norm; then there is no branch.
        dtype: dtype of the normalised tokens.

    Returns:
        The sum, in the dtype to which tokens and branch promote (empty without a branch), the normalised tokens, both shaped
        as ``tokens``, and each row's mean and reciprocal standard deviation (rows, 2) in float32.
    """
    total, normed, statistics = _forward_outputs(tokens, branch, dtype)
    columns, rows = tokens.shape[-1], statistics.shape[0]
    if rows:
        length, stride = _layout(tokens)
        block, warps = _plan(columns)
        with torch.cuda.device_of(tokens):
            # Arguments that a kernel does not read still need a tensor.
            forward_kernel[(rows,)](
                tokens, tokens if branch is None else branch, weight if factor is None else factor,
                weight if shift is None else shift, weight, bias, total, normed, statistics,
                length, stride, 1 if factor is None else rows // factor.numel(),
                eps=eps, columns=columns, BRANCH=branch is not None, FACTOR=factor is not None, SHIFT=shift is not None,
                GELU=gelu, BLOCK=block, num_warps=warps,
            )  # fmt: skip
    return total, normed, statistics


def _launch_backward(
    grad_normed: Tensor,
    grad_total: Tensor | None,
    source: Tensor,
    weight: Tensor,
    statistics: Tensor,
    factor: Tensor | None,
    shift: Tensor | None,
    branch_dtype: torch.dtype | None,
    gelu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of :func:`_launch_forward`.

    Args:
        grad_normed: gradient of the normalised tokens, contiguous.
        grad_total: gradient of the sum from its other uses, contiguous, or None.
        source: the sum, or the tokens if nothing was added.
        weight, statistics, factor, shift, gelu: as in :func:`_launch_forward`.
        branch_dtype: dtype of the branch, or None without one.

    Returns:
        Gradients of the tokens in their dtype and of the branch (empty without one), and the gradients of weight,
        bias and, if given, shift as sums (P, 2 or 3, C) of parts of the rows in float32.
    """
    grad_tokens, grad_branch, partial = _backward_outputs(source, statistics, shift, branch_dtype)
    rows, columns = statistics.shape[0], source.shape[-1]
    if rows:
        length, stride = _layout(source)
        block, warps = _plan(columns)
        with torch.cuda.device_of(source):
            backward_kernel[(partial.shape[0],)](
                grad_normed, grad_normed if grad_total is None else grad_total, source, weight, statistics,
                weight if factor is None else factor, weight if shift is None else shift,
                grad_tokens, grad_branch, partial,
                rows, length, stride, 1 if factor is None else rows // factor.numel(),
                columns=columns, TOTAL=grad_total is not None, BRANCH=branch_dtype is not None, FACTOR=factor is not None,
                SHIFT=shift is not None, GELU=gelu, BLOCK=block, num_warps=warps,
            )  # fmt: skip
    return grad_tokens, grad_branch, partial


def _forward_outputs(tokens: Tensor, branch: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    rows = tokens.shape[:-1].numel()
    if branch is None:
        total = tokens.new_empty(0)
    else:
        total = tokens.new_empty(tokens.shape, dtype=torch.promote_types(tokens.dtype, branch.dtype))
    return total, tokens.new_empty(tokens.shape, dtype=dtype), tokens.new_empty((rows, 2), dtype=torch.float32)


def _backward_outputs(
    source: Tensor, statistics: Tensor, shift: Tensor | None, branch_dtype: torch.dtype | None
) -> tuple[Tensor, Tensor, Tensor]:
    rows, columns = statistics.shape[0], source.shape[-1]
    grad_branch = source.new_empty(0) if branch_dtype is None else source.new_empty(source.shape, dtype=branch_dtype)
    per_multiprocessor = max(_PROGRAM_WARPS // _plan(columns)[1], 1)
    programs = max(min(per_multiprocessor * num_multiprocessors(source.device), rows), 1)
    partial = source.new_zeros if not rows else source.new_empty
    return (
        source.new_empty(source.shape),
        grad_branch,
        partial((programs, 2 if shift is None else 3, columns), dtype=torch.float32),
    )


def _plan(columns: int) -> tuple[int, int]:
    """Return the block that covers a row, and the number of warps."""
    block = 1 << (columns - 1).bit_length()
    return block, min(max(block // (32 * _VALUES_PER_THREAD), 1), _PROGRAM_WARPS)


def _layout(tokens: Tensor) -> tuple[int, int]:
    """Return the rows of a sample, and the elements from one sample to the next."""
    if tokens.dim() < 3:
        return max(tokens.shape[0], 1), 0
    return tokens.shape[-2], tokens.stride(0)


def _fake_forward(tokens, branch, factor, shift, weight, bias, eps, gelu, dtype):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return _forward_outputs(tokens, branch, dtype)


def _fake_backward(grad_normed, grad_total, source, weight, statistics, factor, shift, branch_dtype, gelu):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return _backward_outputs(source, statistics, shift, branch_dtype)


for _name in ("layer_norm", "layer_norm_backward"):
    # The autograd function calls the operators below autograd. PyTorch's fallback would look for gradients again.
    _library.impl(_name, torch.library.fallthrough_kernel, "Autograd")
torch.library.register_fake("mmbeit3::layer_norm", _fake_forward, lib=_library)
torch.library.register_fake("mmbeit3::layer_norm_backward", _fake_backward, lib=_library)
if HAS_TRITON:
    # The interpreter computes on CPUs, for tests.
    _key = "CPU" if interpreted(forward_kernel) else "CUDA"
    _library.impl("layer_norm", _launch_forward, _key)
    _library.impl("layer_norm_backward", _launch_backward, _key)

forward = torch.ops.mmbeit3.layer_norm.default
"""The forward operator, see :func:`_launch_forward`."""

backward = torch.ops.mmbeit3.layer_norm_backward.default
"""The backward operator, see :func:`_launch_backward`."""
