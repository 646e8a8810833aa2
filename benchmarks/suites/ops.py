"""Deformable attention alone, with the shapes of a ViT-Adapter, and in Mask2Former's pixel decoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks import peers
from benchmarks.cases import OURS, Case, Contender, Step, Unavailable
from benchmarks.peers import DeformAttn
from benchmarks.settings import Settings
from benchmarks.suites.pixel_decoder import pixel_decoder_case
from mmbeit3.models.beit3 import Arch
from mmbeit3.ops import ms_deform_attn
from mmbeit3.ops.deform_attn import KERNELS, usable_kernels

__all__ = ["Shapes", "extractor_shapes", "injector_shapes", "ops_cases", "problem"]

_POINTS = 4
_RATIO = 0.5


@dataclass(frozen=True)
class Shapes:
    """Sizes of a call of deformable attention.

    Attributes:
        name: name of the ViT-Adapter's module that makes the call.
        queries: (h, w) of the grids whose cells are the queries.
        levels: (h, w) of the levels of the value.
        heads: number of attention heads.
        dims: channels per head.
        points: sampling points per query and level.
    """

    name: str
    queries: tuple[tuple[int, int], ...]
    levels: tuple[tuple[int, int], ...]
    heads: int
    dims: int
    points: int = _POINTS

    def bytes_moved(self, element: int, backward: bool) -> int:
        """Return the lower bound of the bytes that go through memory: each input is read once, each output written once.

        Args:
            element: bytes per element of the value; locations and weights are float32.
            backward: True to include the backward pass.
        """
        cells, count = (sum(h * w for h, w in grids) for grids in (self.levels, self.queries))
        value, output = (element * number * self.heads * self.dims for number in (cells, count))
        samples = 4 * 3 * count * self.heads * len(self.levels) * self.points
        return value + samples + output + (2 * (value + samples) + output if backward else 0)


def ops_cases(settings: Settings) -> Iterator[Case]:
    """Yield every usable kernel of mmbeit3 against the functions of the peers, then the pixel decoder."""
    for dtype in settings.dtypes:
        for side in settings.sides:
            for shapes in (injector_shapes(settings.sizes, side), extractor_shapes(settings.sizes, side)):
                for spread in ("near", "anywhere"):
                    for backward in (False, True):
                        yield _case(settings, shapes, side, dtype, spread, backward)
            yield pixel_decoder_case(settings, side, dtype)


def injector_shapes(arch: Arch, side: int) -> Shapes:
    """Return the sizes of an injector: tokens at stride 16 attend to the spatial prior at strides 8, 16 and 32."""
    return Shapes("injector", _grids(side, 16), _grids(side, 8, 16, 32), *_heads(arch))


def extractor_shapes(arch: Arch, side: int) -> Shapes:
    """Return the sizes of an extractor: the spatial prior at strides 8, 16 and 32 attends to tokens at stride 16."""
    return Shapes("extractor", _grids(side, 8, 16, 32), _grids(side, 16), *_heads(arch))


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
        value (1, S, heads, d), sampling locations (1, Q, heads, L, P, 2) and attention weights (1, Q, heads, L, P).
    """
    generator = torch.Generator().manual_seed(0)
    heads, L, P = shapes.heads, len(shapes.levels), shapes.points
    cells, Q = (sum(h * w for h, w in grids) for grids in (shapes.levels, shapes.queries))
    sizes = torch.tensor([(w, h) for h, w in shapes.levels], dtype=torch.float32)[None, None, :, None]
    if spread == "near":
        centres = torch.cat([_centres(grid) for grid in shapes.queries])
        angles = 2 * math.pi * torch.arange(heads, dtype=torch.float32) / heads
        rays = torch.stack([angles.cos(), angles.sin()], dim=-1)
        rays = rays / rays.abs().amax(dim=-1, keepdim=True)
        steps = rays[:, None, None] * torch.arange(1, P + 1, dtype=torch.float32)[:, None]
        points = centres[:, None, None, None] * sizes + steps + torch.randn(Q, heads, L, P, 2, generator=generator)
    else:
        points = torch.rand(Q, heads, L, P, 2, generator=generator) * sizes
    # Keep points away from cell borders, where rounding decides between which cells a point lies and its gradient jumps.
    corners = (points - 0.5).floor()
    points = corners + 0.5 + (points - 0.5 - corners).clamp(0.01, 0.99)
    locations = (points / sizes)[None]
    weights = torch.randn(1, Q, heads, L * P, generator=generator).softmax(-1).view(1, Q, heads, L, P)
    value = torch.randn(1, cells, heads, shapes.dims, generator=generator)
    return value.to(device, dtype), locations.to(device), weights.to(device)


def _case(settings: Settings, shapes: Shapes, side: int, dtype: str, spread: str, backward: bool) -> Case:
    kind = getattr(torch, dtype)
    build: Callable[[Callable[[], DeformAttn], bool], Step] = partial(_step, settings, shapes, dtype, spread, backward)
    contenders = [
        Contender(f"{OURS} {name}", partial(build, partial(_ours, name)))
        for name, reason in usable_kernels(torch.device(settings.device), kind).items()
        if reason is None
    ]
    theirs: dict[str, Callable[[], DeformAttn]] = {
        "mmcv, PyTorch": peers.mmcv_fallback,
        "mmcv, compiled": partial(peers.mmcv_compiled, settings.device),
        "transformers": peers.transformers_fallback,
    }
    contenders += [Contender(name, partial(build, find)) for name, find in theirs.items()]
    what = "forward + backward" if backward else "forward"
    name = f"{shapes.name} of {settings.arch} {side}², points {spread}, {what}"
    return Case(name, dtype, contenders, bytes_moved=shapes.bytes_moved(kind.itemsize, backward))


def _ours(kernel: str) -> DeformAttn:
    if kernel not in KERNELS:
        raise Unavailable(f"mmbeit3 has no kernel '{kernel}'")
    return partial(ms_deform_attn, kernel=kernel)


def _step(
    settings: Settings,
    shapes: Shapes,
    dtype: str,
    spread: str,
    backward: bool,
    find: Callable[[], DeformAttn],
    equal: bool,
) -> Step:
    attention = find()
    levels = list(shapes.levels)
    inputs = problem(shapes, spread, settings.device, getattr(torch, dtype))
    # Plain PyTorch needs autocast if values and points have different dtypes; mmbeit3's kernels do not.
    autocast = partial(torch.autocast, torch.device(settings.device).type, torch.bfloat16, enabled=dtype != "float32")

    def forward() -> Sequence[Tensor]:
        with torch.no_grad(), autocast():
            return [attention(inputs[0], levels, *inputs[1:])]

    if not backward:
        return forward
    for tensor in inputs:
        tensor.requires_grad_()
    gradient = torch.randn(forward()[0].shape, generator=torch.Generator().manual_seed(1)).to(inputs[0])

    def both() -> Sequence[Tensor]:
        with autocast():
            output = attention(inputs[0], levels, *inputs[1:])
        return [output.detach(), *torch.autograd.grad(output, inputs, gradient)]

    return both


def _grids(side: int, *strides: int) -> tuple[tuple[int, int], ...]:
    return tuple((side // stride, side // stride) for stride in strides)


def _heads(arch: Arch) -> tuple[int, int]:
    return arch.num_heads, int(arch.embed_dims * _RATIO) // arch.num_heads


def _centres(grid: tuple[int, int]) -> Tensor:
    """Return the centres of the cells of a grid, (h * w, 2) as (x, y) from 0 to 1."""
    y, x = (torch.arange(side, dtype=torch.float32).add(0.5) / side for side in grid)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
