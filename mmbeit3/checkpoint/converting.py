"""From any known layout to another, without loss, or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mmbeit3.checkpoint.layouts import LAYOUTS, Layout, check_shapes, detect_layout
from mmbeit3.checkpoint.lazy import LazyTensor
from mmbeit3.checkpoint.naming import list_names
from mmbeit3.checkpoint.wrapping import without_wrapper
from mmbeit3.errors import UserError

__all__ = ["Conversion", "convert"]

_TOWERS = ("backbone.vit.", "backbone.", "vit.", "")
"""Where a vision tower stands in detectors and segmentors, in a ViT-Adapter, and alone."""


@dataclass
class Conversion:
    """What :func:`convert` did.

    Attributes:
        tensors: in the layout asked for.
        source: name of the layout found.
        left_out: our names of what was left out, as asked for.
        unread: tensors whose first rows, which no model reads, have no place in the layout and were left out.
    """

    tensors: dict[str, LazyTensor]
    source: str
    left_out: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def convert(state: Mapping[str, LazyTensor], to: str, vision_only: bool = False) -> Conversion:
    """Translate a checkpoint to another layout.

    Args:
        state: of any known layout, see :func:`~mmbeit3.checkpoint.read_lazily`.
        to: a name in :data:`~mmbeit3.checkpoint.LAYOUTS`.
        vision_only: leave out all but the vision tower.

    Raises:
        UserError: if the layout is unknown, sizes do not fit each other, or something has no place in the layout asked for;
            the message names what.
    """
    target = LAYOUTS[to]
    state, outside = without_wrapper(state)
    source = detect_layout(state)
    if source is None:
        raise UserError(
            f"checkpoint is in no known layout ({', '.join(LAYOUTS)}): its names start like {list_names(list(state))}"
        )
    if source is target and not vision_only and not outside:
        return Conversion(dict(state), source.name)
    ours = source.to_ours(state)
    if vision_only or target.name in ("official", "timm"):
        ours = _network(ours)
    check_shapes(ours, LAYOUTS["official"].rules)
    left_out = [*outside, *(name for name in ours if not target.holds(name))]
    if vision_only:
        if target.name == "vit_adapter":
            raise UserError(
                "vit_adapter is a layout of whole detectors and segmentors: a vision tower alone has no place in it"
            )
        # timm's models are vision towers with a classifier's head.
        kept = {
            name: tensor
            for name, tensor in ours.items()
            if target.holds(name) and (name.startswith("vision.") or target.name == "timm")
        }
        if not kept:
            raise UserError(f"checkpoint has no vision tower of BEiT-3: its names start like {list_names(list(ours))}")
        left_out = [*outside, *(name for name in ours if name not in kept)]
        ours = kept
    elif left_out:
        raise UserError(
            f"checkpoint cannot be written in the {target.name} layout, which has no place for {list_names(left_out)}"
            + ("" if target.name == "vit_adapter" else " (--vision-only writes the vision tower and leaves out the rest)")
        )
    unread = [name for name, tensor in ours.items() if _has_unread_rows(target, name, tensor)]
    return Conversion(target.to_theirs(ours), source.name, left_out, unread)


def _network(state: dict[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Give the network the names it has by itself, wherever it stands."""
    if any(name.startswith("network.vision.") for name in state):
        return {name.removeprefix("network."): tensor for name, tensor in state.items()}
    for root in _TOWERS:
        if f"{root}embed.positions" in state:
            tower = re.compile(rf"^{re.escape(root)}(?=(?:embed|layers|norm)\.)")
            return {tower.sub("vision.", name): tensor for name, tensor in state.items()}
    return state


def _has_unread_rows(layout: Layout, name: str, tensor: LazyTensor) -> bool:
    """Whether the first rows, which the layout lacks, are more than zeros."""
    rule = layout.rule_of(name)
    return rule is not None and bool(rule.drop_rows) and bool(tensor.load()[: rule.drop_rows].any())
