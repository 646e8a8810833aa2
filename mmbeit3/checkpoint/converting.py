"""Conversion of a checkpoint from one layout to another: without loss, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mmbeit3.checkpoint.layouts import LAYOUTS, Layout, check_shapes, detect_layout
from mmbeit3.checkpoint.lazy import LazyTensor
from mmbeit3.checkpoint.naming import list_names
from mmbeit3.checkpoint.prefixes import name_as_network
from mmbeit3.checkpoint.wrapping import without_wrapper
from mmbeit3.errors import UserError

__all__ = ["Conversion", "convert"]


@dataclass
class Conversion:
    """Result of :func:`convert`.

    Attributes:
        tensors: names to tensors in the target layout.
        source: name of the layout found.
        left_out: names (in mmbeit3) of the tensors that were left out, as requested by ``vision_only``.
        unread: names of tensors whose first rows were left out. No model reads these rows, and the target layout lacks them.
    """

    tensors: dict[str, LazyTensor]
    source: str
    left_out: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def convert(state: Mapping[str, LazyTensor], to: str, vision_only: bool = False) -> Conversion:
    """Convert a checkpoint to another layout.

    Args:
        state: tensors in any known layout, see :func:`~mmbeit3.checkpoint.read_lazily`.
        to: name of the target layout in :data:`~mmbeit3.checkpoint.LAYOUTS`.
        vision_only: keep the vision tower only.

    Raises:
        UserError: if the layout is unknown, the sizes of tensors do not match each other, or the target layout has no place
            for a tensor. The message names the tensors.
    """
    target = LAYOUTS[to]
    state, outside = without_wrapper(state)
    source = detect_layout(state)
    if source is None:
        raise UserError(
            f"checkpoint has no known layout ({', '.join(LAYOUTS)}): it has names such as {list_names(list(state))}. Give a "
            "checkpoint of BEiT-3"
        )
    if source is target and not vision_only and not outside:
        return Conversion(dict(state), source.name)
    ours = source.to_ours(state)
    # These layouts hold the network alone, whatever model it was trained in.
    if vision_only or target.name in ("official", "timm"):
        ours = name_as_network(ours)
    check_shapes(ours, LAYOUTS["official"].rules)
    left_out = [*outside, *(name for name in ours if not target.accepts(name))]
    if vision_only:
        if target.name == "vit_adapter":
            raise UserError(
                "the vit_adapter layout is for whole detectors and segmentors and cannot hold a vision tower alone. Choose "
                "another layout, or convert without --vision-only"
            )
        # timm's models are vision towers with a classification head.
        kept = {
            name: tensor
            for name, tensor in ours.items()
            if target.accepts(name) and (name.startswith("vision.") or target.name == "timm")
        }
        if not kept:
            raise UserError(
                f"checkpoint has no vision tower of BEiT-3: it has names such as {list_names(list(ours))}. Give a checkpoint "
                "with one"
            )
        left_out = [*outside, *(name for name in ours if name not in kept)]
        ours = kept
    elif left_out:
        advice = "" if target.name == "vit_adapter" else ". Use --vision-only to write the vision tower and leave out the rest"
        raise UserError(
            f"checkpoint cannot be written in the {target.name} layout, which has no place for {list_names(left_out)}{advice}"
        )
    unread = [name for name, tensor in ours.items() if _has_unread_rows(target, name, tensor)]
    return Conversion(target.to_theirs(ours), source.name, left_out, unread)


def _has_unread_rows(layout: Layout, name: str, tensor: LazyTensor) -> bool:
    """Return True if the first rows, which the layout lacks, have values other than zero."""
    rule = layout.find_rule(name)
    return rule is not None and bool(rule.drop_rows) and bool(tensor.load()[: rule.drop_rows].any())
