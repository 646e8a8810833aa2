"""Numbers of weights on each rank under FSDP2, and numbers of weights and gradients sent in a step.

PyTorch has no counterpart: its trackers (``CommDebugMode``, ``FSDP2MemTracker``) report calls or memory of a real sharded run,
not the traffic of a number of ranks that do not exist.
"""

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
        name: name of the module, or ``root`` for the weights in no other unit.
        shapes: shapes of the parameters.
        streams: names of the streams that use it.
    """

    name: str
    shapes: tuple[Shape, ...]
    streams: tuple[str, ...]

    def numel(self, ranks: int = 1) -> int:
        """Return the number of elements when gathered from ``ranks`` ranks, padding included."""
        return sum(padded(shape, ranks) for shape in self.shapes)


@dataclass(frozen=True)
class Weights:
    """A network's trained weights.

    Attributes:
        units: all units except the root.
        root: the remaining weights, which are gathered once per pass and kept until its end.
    """

    units: tuple[Unit, ...]
    root: Unit

    def numel(self, ranks: int = 1) -> int:
        """Return the number of elements, including the padding for ``ranks`` ranks."""
        return sum(unit.numel(ranks) for unit in (*self.units, self.root))

    def largest(self, count: int) -> list[Unit]:
        """Return the ``count`` largest units by number of elements, without the root."""
        return sorted(self.units, key=Unit.numel, reverse=True)[:count]

    def gathered(self, ranks: int, passes: Sequence[Sequence[str]]) -> int:
        """Return the number of elements that each rank receives when weights are gathered in a step.

        A unit is gathered in the forward pass and again in the backward pass; recomputation needs no further gathering. The
        root is gathered once for both.

        Args:
            ranks: number of ranks.
            passes: for each pass through the network, the names of its streams.
        """
        total = sum(2 * unit.numel(ranks) * _num_passes(unit, passes) for unit in self.units) + self.root.numel(ranks) * len(
            passes
        )
        return total * (ranks - 1) // ranks

    def reduced(self, ranks: int, passes: Sequence[Sequence[str]]) -> int:
        """Return the number of gradient elements that each rank sends in a step; arguments as in :meth:`gathered`."""
        total = sum(unit.numel(ranks) * _num_passes(unit, passes) for unit in (*self.units, self.root))
        return total * (ranks - 1) // ranks


def padded(shape: Shape, ranks: int) -> int:
    """Return the number of elements of a parameter that FSDP2 pads to equal chunks of rows (dim 0) on all ranks."""
    rows, *rest = shape or (1,)
    return ranks * math.ceil(rows / ranks) * math.prod(rest)


def weights_of(network: MaskedDataModeling, inputs: Mapping[str, Mapping[str, Any]]) -> Weights:
    """Group a network's weights into FSDP units.

    Args:
        network: network of real, fake or meta tensors.
        inputs: streams by name; only the names of their tensors are used.
    """
    names = {module: name for name, module in network.named_modules()}
    units = [
        Unit(
            names[module],
            _shapes(module),
            tuple(s for s, tensors in inputs.items() if _uses_unit(network, names[module], tensors)),
        )
        for module in sharding_units(network)
    ]
    inside = {parameter for module in sharding_units(network) for parameter in module.parameters()}
    root = tuple(tuple(p.shape) for p in network.parameters() if p not in inside and p.requires_grad)
    return Weights(tuple(units), Unit("root", root, tuple(inputs)))


def _shapes(module: nn.Module) -> tuple[Shape, ...]:
    return tuple(tuple(parameter.shape) for parameter in module.parameters())


def _uses_unit(network: MaskedDataModeling, name: str, tensors: Mapping[str, Any]) -> bool:
    """Return True if a stream with these tensors uses the unit ``name``."""
    image, text = "image" in tensors, "tokens" in tensors
    part, *rest = name.split(".")
    if part in ("mim_head", "mlm_head"):
        return ("masked_positions" if part == "mim_head" else "masked_words") in tensors
    if part == "fusion_ffns":
        return image and text
    own_modality = image if part == "vision" else text
    layer, kind = rest[1], rest[2]
    if kind == "attn":
        return own_modality or network.arch.attention == "shared"
    # Pairs use the shared fusion FFNs instead of those of the towers in the layers that have them.
    return own_modality and not (image and text and layer in network.fusion_ffns)


def _num_passes(unit: Unit, passes: Sequence[Sequence[str]]) -> int:
    """Return the number of passes that use a unit."""
    return sum(any(stream in unit.streams for stream in streams) for streams in passes)
