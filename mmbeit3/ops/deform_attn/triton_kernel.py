"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159) on GPUs, with Triton.

Triton contains its own assembler, so no CUDA toolkit is needed, but it builds its launcher with the system's C compiler. If
``TRITON_INTERPRET=1`` is set before the first import of triton, the same code runs slowly on the CPU, for tests.

:func:`forward` and :func:`backward` are the two halves of an autograd function and are not differentiable themselves. Each
launches one kernel. At the sizes of an adapter the host takes as long as the GPU, so everything that depends on shapes alone is
computed once per signature: checks, launch geometry, and the table of the levels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmbeit3.ops import triton_tools
from mmbeit3.ops.triton_tools import HAS_TRITON, interpreted

__all__ = ["backward", "forward", "unavailable"]

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_QUERIES = 32
"""Consecutive queries of a program. They share cells, which then come from the L1 cache."""
_FEW_ROWS = 2**15
"""Number of rows below which programs take fewer queries: 132 multiprocessors want at least eight programs each."""

if HAS_TRITON:
    from mmbeit3.ops.deform_attn.triton_code import backward_kernel, forward_kernel


def unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return in one line why the kernels do not support a dtype on a device, or None if they do.

    Triton's interpreter supports every device.
    """
    if not HAS_TRITON:
        return "triton is not installed"
    if dtype not in _DTYPES:
        return f"the Triton kernels support float32, float16 and bfloat16, not {dtype}"
    return None if interpreted(forward_kernel) else triton_tools.unavailable(device)


def forward(
    value: Tensor,
    shapes: Sequence[tuple[int, int]] | Tensor,
    points: Tensor,
    scores: Tensor,
    references: Tensor | None = None,
) -> Tensor:
    """Compute the weighted sum of values sampled at points. Deterministic.

    Sampling is bilinear between cell centres (``align_corners=False``) and zero outside of a map; NaN points are outside.
    Coordinates, softmax and sums are computed in float32. The device is synchronised only when a list of shapes is used for
    the first time. A tensor of shapes is not read on the host: if it does not fit the value, the output is NaN.

    Args:
        value: (B, S, heads, d) in float32, float16 or bfloat16, the cells of all levels concatenated, row-major.
        shapes: (h, w) of each of L levels in cells, or an integer tensor (L, 2) on the device of ``value``.
        points: (B, Q, heads, L, P, 2) in one of the three dtypes: without ``references``, locations (x, y), normalised to 0-1
            over the level's map; with references, offsets from them.
        scores: without ``references``, weights (B, Q, heads, L, P); with references, logits (B, Q, heads, L * P), whose softmax
            gives the weights.
        references: (1 or B, Q, L, 2), points (x, y), normalised as locations; offsets are in cells. Or (1 or B, Q, L, 4), boxes
            (x, y, w, h); an offset of P is half a side. In one of the three dtypes.

    Returns:
        (B, Q, heads * d) in the dtype of ``value``.

    Raises:
        ValueError: if shapes, dtypes or devices do not match, or a tensor is too large.
        RuntimeError: if the kernels are not available, see :func:`unavailable`.
    """
    _check_all(value, shapes, points, scores, references)
    B, Q, heads = points.shape[:3]
    output = value.new_empty(B, Q, heads * value.shape[3])
    if output.numel():
        _launch(False, value.contiguous(), shapes, points.contiguous(), scores.contiguous(), references, output)
    return output


def backward(
    value: Tensor,
    shapes: Sequence[tuple[int, int]] | Tensor,
    points: Tensor,
    scores: Tensor,
    grad_output: Tensor,
    references: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of :func:`forward`, except that of ``references``.

    The gradients of points and scores are deterministic. The gradient of value is summed in float32 with atomic additions, and
    then rounded to half precision if the value has it: additions in half precision would round dozens of times per cell (a cell
    of ViT-Adapter's extractor gets 84), and those of bfloat16 are biased before compute capability 9.0. The order of additions
    varies between runs, and so do the last bits of the sum.

    Args:
        value, shapes, points, scores, references: as for :func:`forward`.
        grad_output: (B, Q, heads * d), the gradient of the output.

    Returns:
        The gradients of value, points and scores, with their shapes and dtypes.

    Raises:
        ValueError, RuntimeError: see :func:`forward`.
    """
    _check_all(value, shapes, points, scores, references)
    wanted = (*points.shape[:2], points.shape[2] * value.shape[3])
    if grad_output.shape != wanted or grad_output.device != value.device:
        raise ValueError(
            f"deformable attention: grad_output must be {wanted} on {value.device}, "
            f"got {tuple(grad_output.shape)} on {grad_output.device}"
        )
    value, points, scores = value.contiguous(), points.contiguous(), scores.contiguous()
    grad_value = torch.zeros_like(value, dtype=torch.float32)
    gradients = (grad_value, torch.empty_like(points), torch.empty_like(scores))
    if grad_output.numel():
        _launch(True, value, shapes, points, scores, references, grad_output.contiguous(), *gradients)
    return gradients if value.dtype == torch.float32 else (grad_value.to(value.dtype), *gradients[1:])


def _check_all(
    value: Tensor, shapes: Sequence[tuple[int, int]] | Tensor, points: Tensor, scores: Tensor, references: Tensor | None
) -> None:
    """Refuse tensors that the kernels would access out of bounds. Cached: only a new signature takes time."""
    tensors = (value, points, scores) if references is None else (value, points, scores, references)
    _check(
        (shapes.shape, shapes.dtype, shapes.device) if isinstance(shapes, Tensor) else tuple(shapes),
        tuple([(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors]),
    )


@functools.lru_cache(maxsize=1024)
def _check(levels: tuple[Any, ...], signatures: tuple[tuple[torch.Size, torch.dtype, torch.device], ...]) -> None:
    (value, dtype, device), (points, _, _), (scores, _, _) = signatures[:3]
    references = signatures[3][0] if len(signatures) == 4 else None
    if reason := unavailable(device, dtype):
        raise RuntimeError(reason)
    from_tensor = isinstance(levels[0], torch.Size)
    if from_tensor:
        shape, kind, place = levels
        if len(shape) != 2 or shape[1] != 2 or kind.is_floating_point or place != device:
            raise ValueError(
                f"deformable attention: spatial shapes must be an integer tensor (L, 2) on {device}, "
                f"got {tuple(shape)} in {kind} on {place}"
            )
    L = levels[0][0] if from_tensor else len(levels)
    fits = len(value) == 4 and value[3] > 0 and len(points) == 6
    if fits:
        B, Q, heads, P = value[0], points[1], value[2], points[4]
        weights = (B, Q, heads, L, P) if references is None else (B, Q, heads, L * P)
        fits = points == (B, Q, heads, L, P, 2) and scores == weights
        fits = fits and (from_tensor or sum(h * w for h, w in levels) == value[1])
        if references is not None:
            fits = fits and references[1:] in ((Q, L, 2), (Q, L, 4)) and references[0] in (1, B)
    if not fits:
        raise ValueError(
            f"deformable attention: value {tuple(value)}, shapes {levels}, points {tuple(points)}, scores {tuple(scores)} "
            f"and references {None if references is None else tuple(references)} do not match"
        )
    for _, kind, place in signatures[1:]:
        if kind not in _DTYPES or place != device:
            raise ValueError(
                f"deformable attention: all tensors must be float32, float16 or bfloat16 on {device}, got {kind} on {place}"
            )
    # Offsets within an image are int32, with a margin for the last block.
    if max(points[1:].numel(), value[1:].numel(), points[:3].numel()) > 2**31 - 2**16:
        raise ValueError(f"deformable attention: too many queries or cells, {tuple(points)} and {tuple(value)}")


class _Plan(NamedTuple):
    """Launch geometry: programs, blocks of rows per program, rows per block, P and d rounded up to powers of two, warps."""

    programs: int
    tiles: int
    block: int
    P2: int
    D2: int
    warps: int


@functools.lru_cache(maxsize=1024)
def _plan(backward: bool, element: int, B: int, Q: int, heads: int, P: int, d: int) -> _Plan:
    """Plan a launch.

    Args:
        backward: True for the backward kernel.
        element: bytes per element of the value.
        B, Q, heads, P, d: sizes of the tensors.
    """
    P2, D2 = _power_of_2(P), _power_of_2(d)
    tile = P2 * D2
    if backward:
        # Four channels per thread: that many float32 are added in one instruction, and reads of the values have the same layout
        # only if no thread has more. With one warp, sums over channels and points need no barriers. d = 32, P = 4 fill it.
        warps = min(max(tile // 128, 1), 8)
        block = max(32 * warps * 4 // tile, 1)
    else:
        # Two vectors of 16 bytes per thread and level: with three levels, 24 reads are then in flight. More need too many
        # registers. (The width of vectors is a power of two that divides d.)
        warps = min(max(tile // 512, 4), 8)
        block = max(32 * warps * 2 * math.gcd(d, 16 // element) // tile, 1)
    # At most half as many samples as threads: each thread then reads its own coordinates. With more, Triton distributes these
    # reads over the threads and exchanges the numbers through shared memory.
    block = min(block, max(16 * warps // P2, 1))
    tiles = max(_QUERIES // block, 1) if B * Q * heads >= _FEW_ROWS else 1
    return _Plan(-(-Q // (block * tiles)) * heads * B, tiles, block, P2, D2, warps)


def _launch(
    backward: bool,
    value: Tensor,
    shapes: Sequence[tuple[int, int]] | Tensor,
    points: Tensor,
    scores: Tensor,
    references: Tensor | None,
    *others: Tensor,
) -> None:
    """Launch a kernel for contiguous tensors, except for shapes and references."""
    device = value.device
    if device.type == "cuda" and device.index != torch.cuda.current_device():
        # Triton launches on the current device.
        with torch.cuda.device(device):
            return _launch(backward, value, shapes, points, scores, references, *others)
    B, S, heads, d = value.shape
    _, Q, _, L, P, _ = points.shape
    plan = _plan(backward, value.element_size(), B, Q, heads, P, d)
    table = shapes.contiguous() if isinstance(shapes, Tensor) else _table(tuple(shapes), device)
    kind, one = "locations", True
    if references is not None:
        kind, one = "boxes" if references.shape[3] == 4 else "points", references.shape[0] == 1
    kernel: Any = backward_kernel if backward else forward_kernel
    kernel[(plan.programs,)](
        value, table, points if references is None else references.contiguous(), points, scores, *others, Q, S, plan.tiles,
        kind, one, heads, L, P, d, plan.block, plan.P2, plan.D2, *((_power_of_2(L),) if backward else ()), num_warps=plan.warps,
    )  # fmt: skip
    return None


def _power_of_2(number: int) -> int:
    """Round up to a power of two."""
    return 1 << max(number - 1, 0).bit_length()


@functools.lru_cache(maxsize=256)
def _table(shapes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """Return height and width of each level, (L, 2) on the device."""
    return torch.tensor(shapes, dtype=torch.int64, device=device)
