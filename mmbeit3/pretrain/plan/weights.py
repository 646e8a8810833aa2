"""How a network's weights lie over ranks, and how much of them travels in a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from mmbeit3.models.beit3 import sharding_units
from mmbeit3.pretrain import MaskedDataModeling

__all__ = ["Unit", "Weights", "padded", "weights_of"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Unit:
    """Weights that FSDP gathers and frees together.

    Attributes:
        name: of the module, or ``root`` for what is in no other unit.
        shapes: of its parameters.
        streams: names of the streams whose pass uses it.
    """

    name: str
    shapes: tuple[Shape, ...]
    streams: tuple[str, ...]

    def numel(self, ranks: int = 1) -> int:
        """Elements when gathered from so many ranks, padding included."""
        return sum(padded(shape, ranks) for shape in self.shapes)


@dataclass(frozen=True)
class Weights:
    """A network's trained weights.

    Attributes:
        units: all units but the root.
        root: the rest, gathered once a pass and kept until its end.
    """

    units: tuple[Unit, ...]
    root: Unit

    def numel(self, ranks: int = 1) -> int:
        """Elements, padding for so many ranks included."""
        return sum(unit.numel(ranks) for unit in (*self.units, self.root))

    def largest(self, count: int) -> list[Unit]:
        """The units, the root apart, with most elements."""
        return sorted(self.units, key=Unit.numel, reverse=True)[:count]

    def gathered(self, ranks: int, passes: Sequence[Sequence[str]]) -> int:
        """Elements that each rank receives when weights are gathered for a step.

        A unit is gathered for a pass forward and again for the pass backward, where recomputing a layer takes no more; the root
        once for both.

        Args:
            ranks: their number.
            passes: the streams that go through the network together, for each pass.
        """
        total = sum(2 * unit.numel(ranks) * _uses(unit, passes) for unit in self.units) + self.root.numel(ranks) * len(passes)
        return total * (ranks - 1) // ranks

    def reduced(self, ranks: int, passes: Sequence[Sequence[str]]) -> int:
        """Elements of gradients that each rank sends in a step, each pass reducing its own; arguments as above."""
        total = sum(unit.numel(ranks) * _uses(unit, passes) for unit in (*self.units, self.root))
        return total * (ranks - 1) // ranks


def padded(shape: Shape, ranks: int) -> int:
    """Elements of a parameter whose rows (dim 0) are spread over ranks in chunks of one size, as FSDP2 does."""
    rows, *rest = shape or (1,)
    return ranks * math.ceil(rows / ranks) * math.prod(rest)


def weights_of(network: MaskedDataModeling, inputs: Mapping[str, Mapping[str, Any]]) -> Weights:
    """Sort a network's weights into units.

    Args:
        network: of any tensors.
        inputs: streams by name, of which only the names of their tensors matter.
    """
    names = {module: name for name, module in network.named_modules()}
    units = [
        Unit(names[module], _shapes(module), tuple(s for s, given in inputs.items() if _used(network, names[module], given)))
        for module in sharding_units(network)
    ]
    inside = {parameter for module in sharding_units(network) for parameter in module.parameters()}
    root = tuple(tuple(p.shape) for p in network.parameters() if p not in inside and p.requires_grad)
    return Weights(tuple(units), Unit("root", root, tuple(inputs)))


def _shapes(module: nn.Module) -> tuple[Shape, ...]:
    return tuple(tuple(parameter.shape) for parameter in module.parameters())


def _used(network: MaskedDataModeling, name: str, given: Mapping[str, Any]) -> bool:
    """Whether a stream that gives these tensors goes through a unit."""
    image, text = "image" in given, "tokens" in given
    part, *rest = name.split(".")
    if part in ("mim_head", "mlm_head"):
        return ("masked_positions" if part == "mim_head" else "masked_words") in given
    if part == "fusion_ffns":
        return image and text
    own = image if part == "vision" else text
    layer, kind = rest[1], rest[2]
    if kind == "attn":
        return own or network.arch.attention == "shared"
    return own and not (image and text and layer in network.fusion_ffns)


def _uses(unit: Unit, passes: Sequence[Sequence[str]]) -> int:
    return sum(any(stream in unit.streams for stream in streams) for streams in passes)
