"""Sizes of calls of deformable attention: those of a ViT-Adapter and of Mask2Former's pixel decoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mmbeit3.models.beit3 import Arch, get_arch

__all__ = ["Shapes", "extractor_shapes", "gpu_shapes", "injector_shapes", "of_arch", "pixel_decoder_shapes"]

_POINTS = 4
_RATIO = 0.5


@dataclass(frozen=True)
class Shapes:
    """Sizes of a call of deformable attention.

    Attributes:
        name: name of the module that makes the call, and its architecture and image size.
        queries: (h, w) of the grids whose cells are the queries.
        levels: (h, w) of the levels of the value.
        heads: number of attention heads.
        dims: channels per head.
        points: sampling points per query and level.
        batch: number of images.
    """

    name: str
    queries: tuple[tuple[int, int], ...]
    levels: tuple[tuple[int, int], ...]
    heads: int
    dims: int
    points: int = _POINTS
    batch: int = 1

    def bytes_moved(self, element: int, backward: bool, samples_element: int = 4) -> int:
        """Return the lower bound of the bytes that go through memory: each input is read once, each output written once.

        Args:
            element: bytes per element of the value.
            backward: True to include the backward pass.
            samples_element: bytes per element of locations and weights, or of offsets and logits.
        """
        cells, count = (sum(h * w for h, w in grids) for grids in (self.levels, self.queries))
        value, output = (element * number * self.heads * self.dims for number in (cells, count))
        samples = samples_element * 3 * count * self.heads * len(self.levels) * self.points
        return self.batch * (value + samples + output + (2 * (value + samples) + output if backward else 0))


def injector_shapes(arch: Arch, side: int, batch: int = 1) -> Shapes:
    """Return the sizes of an injector: tokens at stride 16 attend to the spatial prior at strides 8, 16 and 32."""
    return Shapes("injector", _grids(side, 16), _grids(side, 8, 16, 32), *_heads(arch), batch=batch)


def extractor_shapes(arch: Arch, side: int, batch: int = 1) -> Shapes:
    """Return the sizes of an extractor: the spatial prior at strides 8, 16 and 32 attends to tokens at stride 16."""
    return Shapes("extractor", _grids(side, 8, 16, 32), _grids(side, 16), *_heads(arch), batch=batch)


def of_arch(shapes: Shapes, arch: str, side: int) -> Shapes:
    """Return shapes whose name has the architecture and the side of the image."""
    return replace(shapes, name=f"{shapes.name} of {arch} {side}²")


def pixel_decoder_shapes(side: int, batch: int) -> Shapes:
    """Return the sizes of a layer of Mask2Former's pixel decoder: maps at strides 8, 16 and 32 attend to each other."""
    grids = _grids(side, 32, 16, 8)
    return Shapes(f"layer of Mask2Former's pixel decoder {side}²", grids, grids, heads=8, dims=32, batch=batch)


def gpu_shapes() -> Iterator[tuple[Shapes, str]]:
    """Yield sizes that fill a GPU, and the spread of their points."""
    for kind, arch, side, batch in (
        (injector_shapes, "large", 896, 1),
        (extractor_shapes, "large", 896, 1),
        (injector_shapes, "base", 512, 8),
        (extractor_shapes, "base", 512, 8),
        (extractor_shapes, "giant", 896, 1),
    ):
        yield of_arch(kind(get_arch(arch), side, batch), arch, side), "near"
    for spread in ("near", "anywhere"):
        yield pixel_decoder_shapes(1024, batch=2), spread


def _grids(side: int, *strides: int) -> tuple[tuple[int, int], ...]:
    return tuple((side // stride, side // stride) for stride in strides)


def _heads(arch: Arch) -> tuple[int, int]:
    return arch.num_heads, int(arch.embed_dims * _RATIO) // arch.num_heads
