"""Deformable attention by itself, at the shapes that a ViT-Adapter has, and in Mask2Former's pixel decoder."""

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
    """Sizes of a call.

    Attributes:
        name: the module of a ViT-Adapter that makes it.
        queries: (h, w) of the grids whose cells are the queries.
        levels: (h, w) of the value's levels.
        heads: attention heads.
        dims: channels of a head.
        points: points of a query in each level.
    """

    name: str
    queries: tuple[tuple[int, int], ...]
    levels: tuple[tuple[int, int], ...]
    heads: int
    dims: int
    points: int = _POINTS

    def bytes_moved(self, element: int, backward: bool) -> int:
        """The least that goes through memory, each input read once and each output written once.

        Args:
            element: bytes of a value; locations and weights are float32.
            backward: whether the backward pass is counted as well.
        """
        cells, count = (sum(h * w for h, w in grids) for grids in (self.levels, self.queries))
        value, output = (element * number * self.heads * self.dims for number in (cells, count))
        samples = 4 * 3 * count * self.heads * len(self.levels) * self.points
        return value + samples + output + (2 * (value + samples) + output if backward else 0)


def ops_cases(settings: Settings) -> Iterator[Case]:
    """Every usable kernel of ours against the peers' functions, then the pixel decoder."""
    for dtype in settings.dtypes:
        for side in settings.sides:
            for shapes in (injector_shapes(settings.sizes, side), extractor_shapes(settings.sizes, side)):
                for spread in ("near", "anywhere"):
                    for backward in (False, True):
                        yield _case(settings, shapes, side, dtype, spread, backward)
            yield pixel_decoder_case(settings, side, dtype)


def injector_shapes(arch: Arch, side: int) -> Shapes:
    """Tokens at stride 16 look at the spatial prior at strides 8, 16 and 32."""
    return Shapes("injector", _grids(side, 16), _grids(side, 8, 16, 32), *_heads(arch))


def extractor_shapes(arch: Arch, side: int) -> Shapes:
    """The spatial prior at strides 8, 16 and 32 looks at tokens at stride 16."""
    return Shapes("extractor", _grids(side, 8, 16, 32), _grids(side, 16), *_heads(arch))


def problem(shapes: Shapes, spread: str, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Make the tensors of a call, always the same.

    Args:
        shapes: their sizes.
        spread: ``'near'``: points around the query's own place as in a fresh model, 1 to 4 cells away on a ray of each head's
            own, give or take one cell; ``'anywhere'``: evenly over the map, which no cache helps with.
        device: where.
        dtype: of the values.

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
        places = centres[:, None, None, None] * sizes + steps + torch.randn(Q, heads, L, P, 2, generator=generator)
    else:
        places = torch.rand(Q, heads, L, P, 2, generator=generator) * sizes
    # Away from cell borders, where rounding decides which cells a point lies between and its gradient jumps.
    corners = (places - 0.5).floor()
    places = corners + 0.5 + (places - 0.5 - corners).clamp(0.01, 0.99)
    locations = (places / sizes)[None]
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
        raise Unavailable(f"there is no kernel '{kernel}'")
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
    # What plain PyTorch needs where values and points are of different types; ours needs nothing.
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
    """Centres of a grid's cells, (h * w, 2) as (x, y), 0 to 1."""
    y, x = (torch.arange(side, dtype=torch.float32).add(0.5) / side for side in grid)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
