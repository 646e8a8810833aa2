"""Key layouts as data: one table of rules a layout, read in both directions by one converter.

The names in the middle, "ours", are those of :class:`mmbeit3.models.beit3.BEiT3`: ``vision.*``, ``language.*``,
``fusion_ffns.*``. Names that no rule knows (task heads, a ViT-Adapter's own parts) pass unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor

from mmbeit3.checkpoint.lazy import LazyTensor, Value, lift
from mmbeit3.checkpoint.naming import list_names, shape_text
from mmbeit3.checkpoint.rules import Rule, official_rules, timm_rules, vit_adapter_rules
from mmbeit3.errors import UserError, one_line

__all__ = ["LAYOUTS", "Layout", "check_shapes", "detect_layout"]


@dataclass(frozen=True)
class Layout:
    """A named table of rules.

    Attributes:
        name: shown in reports.
        marks: sets of names of which at least one is there as a whole exactly when a state dict has this layout.
        rules: the table.
        prefix: what may stand before every name of the other layout, and does when we write it.
        beside: pattern of our names that have no rule and go by the same name in the other layout.
    """

    name: str
    marks: tuple[tuple[str, ...], ...]
    rules: tuple[Rule, ...]
    prefix: str = ""
    beside: str = ".*"
    _by_theirs: dict[str, Rule] = field(init=False, repr=False, compare=False, default_factory=dict)
    _by_ours: dict[str, Rule] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_theirs.update({rule.theirs[0]: rule for rule in self.rules})
        self._by_ours.update({rule.ours: rule for rule in self.rules})

    def matches(self, names: Mapping[str, Any]) -> bool:
        """Whether these names are of this layout."""
        return any(all(mark in names or self.prefix + mark in names for mark in marks) for marks in self.marks)

    def rule_of(self, ours: str) -> Rule | None:
        """The rule of one of our names, None where it has none."""
        return self._by_ours.get(_pattern(ours)[0])

    def holds(self, ours: str) -> bool:
        """Whether the layout has a place for one of our names."""
        return self.rule_of(ours) is not None or re.fullmatch(self.beside, ours, re.DOTALL) is not None

    def to_ours(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """Translate a state dict to our names. Names without a rule pass unchanged.

        Raises:
            UserError: if tensors that are parts of one of ours do not fit together, or two would have the same name.
        """
        stripped = {name.removeprefix(self.prefix): tensor for name, tensor in state.items()}
        if len(stripped) < len(state):
            _refuse_twice([name for name in stripped if name in state and self.prefix + name in state])
        rest = dict(stripped)
        ours: dict[str, Value] = {}
        for name in stripped:
            pattern, index = _pattern(name)
            rule = self._by_theirs.get(pattern)
            if rule is None:
                continue
            theirs = [their.replace("{i}", index) for their in rule.theirs]
            if all(their in stripped for their in theirs):
                ours[rule.ours.replace("{i}", index)] = _join(rule, {their: rest.pop(their) for their in theirs})
        if twice := [name for name in rest if name in ours]:
            _refuse_twice(twice)
        return {**ours, **rest}

    def to_theirs(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """Translate a state dict in our names to this layout's. Names without a rule pass unchanged.

        Raises:
            UserError: if two would have the same name.
        """
        theirs: dict[str, Value] = {}
        for name, tensor in state.items():
            pattern, index = _pattern(name)
            rule = self._by_ours.get(pattern)
            parts, names = [tensor], [name]
            if rule is not None:
                prefix = "" if rule.outside else self.prefix
                parts = lift(partial(_split, rule), [tensor])
                names = [prefix + their.replace("{i}", index) for their in rule.theirs]
            if twice := [their for their in names if their in theirs]:
                _refuse_twice(twice)
            theirs.update(zip(names, parts, strict=True))
        return theirs


def _refuse_twice(names: Sequence[str]) -> None:
    raise UserError(f"the checkpoint has {list_names(names)} twice, in two layouts at once: one of them would be lost")


def _split(rule: Rule, tensors: Sequence[Tensor]) -> list[Tensor]:
    return rule.to_theirs(tensors[0])


def _join(rule: Rule, parts: Mapping[str, Value]) -> Value:
    tensors = list(parts.values())
    try:
        if len({tensor.dtype for tensor in tensors}) > 1:
            raise TypeError("types differ")
        return lift(lambda tensors: [rule.to_ours(list(tensors))], tensors)[0]
    except (RuntimeError, TypeError, IndexError) as error:
        kinds = ", ".join(f"{shape_text(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}" for tensor in tensors)
        raise UserError(
            f"the checkpoint is damaged: {list_names(list(parts))} cannot be read as one tensor (they are {kinds}); "
            "download or copy it again"
        ) from error


def _pattern(name: str) -> tuple[str, str]:
    """Replace a layer's index by ``{i}``: ``layers.7.x`` to (``layers.{i}.x``, ``7``)."""
    match = re.search(r"(?:layers?|blocks)\.(\d+)\.", name)
    if match is None:
        return name, ""
    return f"{name[: match.start(1)]}{{i}}{name[match.end(1) :]}", match[1]


_OURS = r"(?:vision|language|fusion_ffns|network|backbone|vit)\."

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        # Fine-tuned and pretrained files alike; a reference ViT-Adapter's keys may stand beside.
        Layout(
            "official",
            (("encoder.layers.0.self_attn.q_proj.A.weight",),),
            tuple(official_rules()),
            prefix="beit3.",
            beside=rf"(?!{_OURS}).*",
        ),
        # The mark tells it from timm's other ViTs. Of heads it has ImageNet's only.
        Layout("timm", (("blocks.0.attn.norm.weight",),), tuple(timm_rules()), beside=r"(?:fc_norm|head)\.(?:weight|bias)"),
        Layout(
            "vit_adapter",
            (
                *((f"{root}level_embed", f"{root}patch_embed.proj.weight") for root in ("backbone.", "")),
                *(
                    (f"{head}.transformer_decoder.layers.0.attentions.0.attn.in_proj_weight",)
                    for head in ("decode_head", "panoptic_head")
                ),
            ),
            tuple(vit_adapter_rules()),
            beside=r"(?!(?:backbone\.)?(?:vision|language|fusion_ffns|network|vit)\.).*",
        ),
        # The whole network, a detector or segmentor of ours, a pretraining or task model, or a backbone alone.
        Layout(
            "mmbeit3",
            (
                ("vision.embed.proj.weight",),
                ("language.embed.words.weight",),
                ("network.vision.embed.proj.weight",),
                *(
                    (f"{root}{name}",)
                    for root in ("backbone.", "")
                    for name in ("embed.positions", "vit.embed.positions", "vit.model.patch_embed.proj.weight")
                ),
            ),
            (),
        ),
    )
}


def detect_layout(state: Mapping[str, Any]) -> Layout | None:
    """Return the layout that a state dict is in, or None where it is none of :data:`LAYOUTS`."""
    return next((layout for layout in LAYOUTS.values() if layout.matches(state)), None)


def check_shapes(state: Mapping[str, Tensor] | Mapping[str, LazyTensor], rules: Iterable[Rule]) -> None:
    """Check tensors of our names against the shapes in a table of rules, and their widths against each other.

    Raises:
        UserError: naming the first that does not fit.
    """
    by_ours = {rule.ours: rule for rule in rules}
    sizes: dict[str, tuple[int, str]] = {}
    for name, tensor in state.items():
        rule = by_ours.get(_pattern(name)[0])
        if rule is None or not rule.shape:
            continue
        axes = rule.shape.split()
        if len(axes) != len(tensor.shape):
            raise UserError(
                f"checkpoint: {one_line(name)} has {len(tensor.shape)} axes ({shape_text(tensor.shape)}), not {len(axes)}"
            )
        for axis, size in zip(axes, tensor.shape, strict=True):
            factor, letter = _axis(axis)
            wanted, owner = sizes.setdefault(letter, (size // factor, name)) if letter else (1, name)
            if size != factor * wanted:
                other = f"does not fit {one_line(owner)}, {shape_text(state[owner].shape)}" if letter and owner != name else ""
                raise UserError(
                    f"checkpoint: {one_line(name)} is {shape_text(tensor.shape)}, which "
                    + (other or f"is not of the form {rule.shape.replace(' ', 'x')}")
                )


def _axis(axis: str) -> tuple[int, str]:
    """``3C`` as 3 and C, ``C`` as 1 and C, ``16`` as 16 and nothing."""
    letter = axis.lstrip("0123456789")
    return int(axis.removesuffix(letter) or 1), letter
