"""Deformable attention alone, with the shapes of a ViT-Adapter, and in Mask2Former's pixel decoder.

Cases "from projections" start from what a layer's projections return: offsets and logits. The others start from locations and
weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks import peers
from benchmarks.cases import OURS, Case, Contender, Results, Step, Unavailable
from benchmarks.peers import DeformAttn
from benchmarks.settings import Settings
from benchmarks.suites.ops_shapes import Shapes, extractor_shapes, gpu_shapes, injector_shapes, of_arch
from benchmarks.suites.pixel_decoder import pixel_decoder_case
from mmbeit3.ops import fused_ms_deform_attn, ms_deform_attn
from mmbeit3.ops.deform_attn import KERNELS, locations_and_weights, usable_kernels

__all__ = ["ops_cases", "problem", "projected_problem"]

_Fused = Callable[[Tensor, list[tuple[int, int]], Tensor, Tensor, Tensor], Tensor]
"""A function of value, (h, w) of each level, reference points, offsets and logits."""


def ops_cases(settings: Settings) -> Iterator[Case]:
    """Yield every usable kernel of mmbeit3 against the functions of the peers, then the pixel decoder.

    On GPUs, calls of fixed sizes that fill a GPU follow.
    """
    for dtype in settings.dtypes:
        for side in settings.sides:
            for kind in (injector_shapes, extractor_shapes):
                shapes = of_arch(kind(settings.sizes, side), settings.arch, side)
                for backward in (False, True):
                    for spread in ("near", "anywhere"):
                        yield _case(settings, shapes, dtype, spread, backward)
                    yield _projected_case(settings, shapes, dtype, backward)
            yield pixel_decoder_case(settings, side, dtype)
        if torch.device(settings.device).type == "cuda":
            for shapes, spread in gpu_shapes():
                for backward in (False, True):
                    yield _case(settings, shapes, dtype, spread, backward)
                    if spread == "near":
                        yield _projected_case(settings, shapes, dtype, backward)


def problem(shapes: Shapes, spread: str, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return the tensors of a call, always the same.

    Args:
        shapes: sizes of the tensors.
        spread: ``'near'`` for points around the position of the query as in a new model: each head has its own ray, with points
            1 to 4 cells away and noise of one cell (standard deviation); ``'anywhere'`` for points spread evenly over the map,
            where caches do not help.
        device: device of the tensors.
        dtype: dtype of the values.

    Returns:
        value (B, S, heads, d), sampling locations (B, Q, heads, L, P, 2) and attention weights (B, Q, heads, L, P).
    """
    generator = torch.Generator().manual_seed(0)
    B, Q, heads, L, P = _sizes(shapes)
    sizes = _widths(shapes)[:, None]  # (L, 1, 2)
    if spread == "near":
        centres = torch.cat([_centres(grid) for grid in shapes.queries])  # (Q, 2)
        noise = torch.randn(B, Q, heads, L, P, 2, generator=generator)
        points = centres[:, None, None, None] * sizes + _rays(heads, P) + noise
    else:
        points = torch.rand(B, Q, heads, L, P, 2, generator=generator) * sizes
    # Keep points away from cell borders, where rounding decides between which cells a point lies and its gradient jumps.
    corners = (points - 0.5).floor()
    points = corners + 0.5 + (points - 0.5 - corners).clamp(0.01, 0.99)
    locations = points / sizes
    weights = torch.randn(B, Q, heads, L * P, generator=generator).softmax(-1).view(B, Q, heads, L, P)
    value = _value(shapes, generator)
    return value.to(device, dtype), locations.to(device), weights.to(device)


def projected_problem(shapes: Shapes, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the tensors of a call from projections, always the same, with points near the query as in :func:`problem`.

    Offsets are odd multiples of a sixteenth of a cell, which bfloat16 can represent: no point lies on the border of cells.

    Returns:
        value (B, S, heads, d), reference points (1, Q, L, 2) in float32, offsets (B, Q, heads, L, P, 2) and logits
        (B, Q, heads, L * P).
    """
    generator = torch.Generator().manual_seed(0)
    B, Q, heads, L, P = _sizes(shapes)
    centres = torch.cat([_centres(grid) for grid in shapes.queries])
    offsets = _rays(heads, P) + torch.randn(B, Q, heads, L, P, 2, generator=generator)
    offsets = (8 * offsets.clamp(-7.5, 7.5)).round() / 8 + 1 / 16
    logits = torch.randn(B, Q, heads, L * P, generator=generator)
    references = centres[None, :, None].repeat(1, 1, L, 1)
    value = _value(shapes, generator)
    return value.to(device, dtype), references.to(device), offsets.to(device, dtype), logits.to(device, dtype)


def _sizes(shapes: Shapes) -> tuple[int, int, int, int, int]:
    """Return B, Q, heads, L and P."""
    queries = sum(h * w for h, w in shapes.queries)
    return shapes.batch, queries, shapes.heads, len(shapes.levels), shapes.points


def _widths(shapes: Shapes) -> Tensor:
    """Return width and height of each level, (L, 2)."""
    return torch.tensor([(w, h) for h, w in shapes.levels], dtype=torch.float32)


def _value(shapes: Shapes, generator: torch.Generator) -> Tensor:
    cells = sum(h * w for h, w in shapes.levels)
    return torch.randn(shapes.batch, cells, shapes.heads, shapes.dims, generator=generator)


def _rays(heads: int, P: int) -> Tensor:
    """Return offsets in cells as in a new layer, (heads, 1, P, 2): each head has its own ray, with points 1 to P cells away."""
    angles = 2 * math.pi * torch.arange(heads, dtype=torch.float32) / heads
    rays = torch.stack([angles.cos(), angles.sin()], dim=-1)
    rays = rays / rays.abs().amax(dim=-1, keepdim=True)
    return rays[:, None, None] * torch.arange(1, P + 1, dtype=torch.float32)[:, None]


def _peers(device: str) -> dict[str, Callable[[], DeformAttn]]:
    return {
        "mmcv, PyTorch": peers.mmcv_fallback,
        "mmcv, compiled": partial(peers.mmcv_compiled, device),
        "transformers": peers.transformers_fallback,
        "deformops": peers.deformops,
    }


def _case(settings: Settings, shapes: Shapes, dtype: str, spread: str, backward: bool) -> Case:
    kind = getattr(torch, dtype)
    inputs = partial(problem, shapes, spread, settings.device, kind)

    def build(find: Callable[[], DeformAttn], equal: bool) -> Step:
        attention, levels = find(), list(shapes.levels)
        value, locations, weights = inputs()
        leaves = [value, locations, weights]
        return _step(settings, dtype, backward, lambda: attention(value, levels, locations, weights), leaves)

    contenders = [
        Contender(f"{OURS} {name}", partial(build, partial(_ours, name)))
        for name, reason in usable_kernels(torch.device(settings.device), kind).items()
        if reason is None
    ]
    contenders += [Contender(name, partial(build, find)) for name, find in _peers(settings.device).items()]
    name = f"{_title(shapes)}, points {spread}, {_what(backward)}"
    return Case(name, dtype, contenders, bytes_moved=shapes.bytes_moved(kind.itemsize, backward))


def _projected_case(settings: Settings, shapes: Shapes, dtype: str, backward: bool) -> Case:
    kind = getattr(torch, dtype)

    def build(find: Callable[[], _Fused], equal: bool) -> Step:
        attention, levels = find(), list(shapes.levels)
        value, references, offsets, logits = projected_problem(shapes, settings.device, kind)
        leaves = [value, offsets, logits]
        return _step(settings, dtype, backward, lambda: attention(value, levels, references, offsets, logits), leaves)

    contenders = [
        Contender(f"{OURS} fused", partial(build, lambda: fused_ms_deform_attn)),
        Contender(f"{OURS} unfused", partial(build, partial(_unfused, lambda: ms_deform_attn))),
    ]
    contenders += [Contender(name, partial(build, partial(_unfused, find))) for name, find in _peers(settings.device).items()]
    name = f"{_title(shapes)}, from projections, {_what(backward)}"
    return Case(name, dtype, contenders, bytes_moved=shapes.bytes_moved(kind.itemsize, backward, kind.itemsize))


def _title(shapes: Shapes) -> str:
    return shapes.name if shapes.batch == 1 else f"{shapes.name}, batch {shapes.batch}"


def _what(backward: bool) -> str:
    return "forward + backward" if backward else "forward"


def _unfused(find: Callable[[], DeformAttn]) -> _Fused:
    """Return a function that computes locations and weights with PyTorch, as the layers of all peers do."""
    attention = find()

    def call(value: Tensor, levels: list[tuple[int, int]], references: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
        return attention(value, levels, *locations_and_weights(levels, references, offsets, logits))

    return call


def _ours(kernel: str) -> DeformAttn:
    if kernel not in KERNELS:
        raise Unavailable(f"mmbeit3 has no kernel '{kernel}'")
    return partial(ms_deform_attn, kernel=kernel)


def _step(settings: Settings, dtype: str, backward: bool, call: Callable[[], Tensor], leaves: Sequence[Tensor]) -> Step:
    # Plain PyTorch needs autocast if values and points have different dtypes; mmbeit3's kernels do not.
    autocast = partial(torch.autocast, torch.device(settings.device).type, torch.bfloat16, enabled=dtype != "float32")

    def forward() -> Sequence[Tensor]:
        with torch.no_grad(), autocast():
            return [call()]

    if not backward:
        return forward
    for tensor in leaves:
        tensor.requires_grad_()
    gradient = torch.randn(forward()[0].shape, generator=torch.Generator().manual_seed(1)).to(leaves[0])

    def both() -> Sequence[Tensor]:
        with autocast():
            output = call()
        return Results([output.detach()], torch.autograd.grad(output, leaves, gradient.to(output.dtype)))

    return both


def _centres(grid: tuple[int, int]) -> Tensor:
    """Return the centres of the cells of a grid, (h * w, 2) as (x, y) from 0 to 1."""
    y, x = (torch.arange(side, dtype=torch.float32).add(0.5) / side for side in grid)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
