"""Key layouts as data: one table of rules a layout, read in both directions by one converter.

The names in the middle, "ours", are those of :class:`mmbeit3.models.beit3.BEiT3`: ``vision.*``, ``language.*``,
``fusion_ffns.*``. Names that no rule knows (task heads, a ViT-Adapter's own parts) pass unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["LAYOUTS", "Layout", "Rule", "detect_layout"]


@dataclass(frozen=True)
class Rule:
    """One tensor of ours and what another layout calls it.

    Attributes:
        ours: our name; ``{i}`` stands for a layer's index.
        theirs: the other layout's names; several are parts of ours, concatenated along the first axis.
        drop_rows: rows at the start of ours that the other layout does not have; zeros when read.
        batch_dim: the other layout has a leading axis of size 1.
        scalar: the other layout has no axis, where ours has one of size 1.
        outside: the other layout's prefix does not stand before it.
    """

    ours: str
    theirs: tuple[str, ...]
    drop_rows: int = 0
    batch_dim: bool = False
    scalar: bool = False
    outside: bool = False

    def to_ours(self, parts: list[Tensor]) -> Tensor:
        """Put the other layout's tensors together to ours."""
        tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
        if self.scalar:
            tensor = tensor.reshape(1)
        if self.batch_dim:
            tensor = tensor.squeeze(0)
        if self.drop_rows:
            tensor = torch.cat([tensor.new_zeros(self.drop_rows, *tensor.shape[1:]), tensor])
        return tensor

    def to_theirs(self, tensor: Tensor) -> list[Tensor]:
        """Take ours apart into the other layout's tensors."""
        if self.scalar:
            return [tensor.reshape(())]
        tensor = tensor[self.drop_rows :]
        if self.batch_dim:
            tensor = tensor.unsqueeze(0)
        return list(tensor.chunk(len(self.theirs)))


@dataclass(frozen=True)
class Layout:
    """A named table of rules.

    Attributes:
        name: shown in reports.
        marks: names of which at least one is there exactly when a state dict has this layout.
        rules: the table.
        prefix: what may stand before every name of the other layout, and does when we write it.
    """

    name: str
    marks: tuple[str, ...]
    rules: tuple[Rule, ...]
    prefix: str = ""
    _by_theirs: dict[str, Rule] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_theirs.update({rule.theirs[0]: rule for rule in self.rules})

    def matches(self, names: Mapping[str, Tensor]) -> bool:
        """Whether these names are of this layout."""
        return any(mark in names or self.prefix + mark in names for mark in self.marks)

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Translate a state dict to our names. Names without a rule pass unchanged."""
        stripped = {name.removeprefix(self.prefix): tensor for name, tensor in state.items()}
        rest = dict(stripped)
        ours: dict[str, Tensor] = {}
        for name in stripped:
            pattern, index = _pattern(name)
            rule = self._by_theirs.get(pattern)
            if rule is None:
                continue
            theirs = [their.replace("{i}", index) for their in rule.theirs]
            if all(their in stripped for their in theirs):
                ours[rule.ours.replace("{i}", index)] = rule.to_ours([rest.pop(their) for their in theirs])
        return {**ours, **rest}

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Translate a state dict in our names to this layout's. Names without a rule pass unchanged."""
        by_ours = {rule.ours: rule for rule in self.rules}
        theirs: dict[str, Tensor] = {}
        for name, tensor in state.items():
            pattern, index = _pattern(name)
            rule = by_ours.get(pattern)
            if rule is None:
                theirs[name] = tensor
                continue
            prefix = "" if rule.outside else self.prefix
            for their, part in zip(rule.theirs, rule.to_theirs(tensor), strict=True):
                theirs[prefix + their.replace("{i}", index)] = part
        return theirs


def _pattern(name: str) -> tuple[str, str]:
    """Replace a layer's index by ``{i}``: ``layers.7.x`` to (``layers.{i}.x``, ``7``)."""
    match = re.search(r"(?:layers|blocks)\.(\d+)\.", name)
    if match is None:
        return name, ""
    return f"{name[: match.start(1)]}{{i}}{name[match.end(1) :]}", match[1]


def _affine(ours: str, *theirs: str) -> Iterator[Rule]:
    for kind in ("weight", "bias"):
        yield Rule(f"{ours}.{kind}", tuple(f"{their}.{kind}" for their in theirs))


def _official_rules() -> Iterator[Rule]:
    yield Rule("logit_scale", ("logit_scale",), scalar=True, outside=True)
    yield Rule("vision.embed.cls_token", ("vision_embed.cls_token",))
    yield Rule("vision.embed.mask_token", ("vision_embed.mask_token",))
    yield from _affine("vision.embed.proj", "vision_embed.proj")
    yield Rule("language.embed.words.weight", ("text_embed.weight",))
    for tower, letter in (("vision", "A"), ("language", "B")):
        yield Rule(f"{tower}.embed.positions", (f"encoder.embed_positions.{letter}.weight",))
        ours, theirs = f"{tower}.layers.{{i}}", "encoder.layers.{i}"
        yield from _affine(f"{ours}.attn.norm", f"{theirs}.self_attn_layer_norm.{letter}")
        yield from _affine(f"{ours}.attn.qkv", *(f"{theirs}.self_attn.{part}_proj.{letter}" for part in "qkv"))
        yield from _affine(f"{ours}.attn.inner_norm", f"{theirs}.self_attn.inner_attn_ln.{letter}")
        yield from _affine(f"{ours}.attn.out", f"{theirs}.self_attn.out_proj.{letter}")
        yield from _affine(f"{ours}.ffn.norm", f"{theirs}.final_layer_norm.{letter}")
        yield from _affine(f"{ours}.ffn.fc1", f"{theirs}.ffn.{letter}.fc1")
        yield from _affine(f"{ours}.ffn.inner_norm", f"{theirs}.ffn.{letter}.ffn_layernorm")
        yield from _affine(f"{ours}.ffn.fc2", f"{theirs}.ffn.{letter}.fc2")
        yield from _affine(f"{tower}.norm", f"encoder.layer_norm.{letter}")


def _timm_rules() -> Iterator[Rule]:
    yield Rule("vision.embed.cls_token", ("cls_token",))
    yield Rule("vision.embed.positions", ("pos_embed",), drop_rows=2, batch_dim=True)
    yield from _affine("vision.embed.proj", "patch_embed.proj")
    ours, theirs = "vision.layers.{i}", "blocks.{i}"
    yield from _affine(f"{ours}.attn.norm", f"{theirs}.norm1")
    yield from _affine(f"{ours}.attn.qkv", f"{theirs}.attn.qkv")
    yield from _affine(f"{ours}.attn.inner_norm", f"{theirs}.attn.norm")
    yield from _affine(f"{ours}.attn.out", f"{theirs}.attn.proj")
    yield from _affine(f"{ours}.ffn.norm", f"{theirs}.norm2")
    yield from _affine(f"{ours}.ffn.fc1", f"{theirs}.mlp.fc1")
    yield from _affine(f"{ours}.ffn.inner_norm", f"{theirs}.mlp.norm")
    yield from _affine(f"{ours}.ffn.fc2", f"{theirs}.mlp.fc2")


LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        # microsoft/unilm beit3: fine-tuned and pretrained files alike; a reference ViT-Adapter's keys may stand beside.
        Layout("official", ("encoder.layers.0.self_attn.q_proj.A.weight",), tuple(_official_rules()), prefix="beit3."),
        # timm beit3_{base,large}_patch16_224, vision only. The mark tells it from timm's other ViTs.
        Layout("timm", ("blocks.0.attn.norm.weight",), tuple(_timm_rules())),
        Layout("mmbeit3", ("vision.embed.proj.weight", "language.embed.words.weight"), ()),
    )
}


def detect_layout(state: Mapping[str, Tensor]) -> Layout | None:
    """Return the layout that a state dict is in, or None where it is none of :data:`LAYOUTS`."""
    return next((layout for layout in LAYOUTS.values() if layout.matches(state)), None)
