"""Key layouts as data: one table of rules per layout, applied in both directions by the same code.

All translation goes through mmbeit3's names, those of :class:`mmbeit3.models.beit3.BEiT3`: ``vision.*``, ``language.*``,
``fusion_ffns.*``. A name without a rule (a task's head, the parts of a ViT-Adapter) passes unchanged. Examples:

=============  ========================================================  ===========================================
layout         key in the file                                           key in mmbeit3
=============  ========================================================  ===========================================
official       ``beit3.encoder.layers.0.ffn.A.fc1.weight``               ``vision.layers.0.ffn.fc1.weight``
official       ``beit3.encoder.layers.0.self_attn.q_proj.A.weight``      ``vision.layers.0.attn.qkv.weight`` (with k, v)
timm           ``blocks.0.mlp.fc1.weight``                               ``vision.layers.0.ffn.fc1.weight``
vit_adapter    ``backbone.blocks.0.mlp.fc1.weight``                      ``backbone.vit.model.blocks.0.mlp.fc1.weight``
mmbeit3        ``backbone.vit.layers.0.ffn.fc1.weight``                  the same
=============  ========================================================  ===========================================
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
from mmbeit3.checkpoint.prefixes import (
    ADAPTER_VIT,
    BACKBONE,
    BACKBONE_OR_BARE,
    NETWORK,
    NETWORK_PARTS,
    OWNERS,
    TIMM_MODEL,
    TOWERS,
    VISION_TOWERS,
)
from mmbeit3.checkpoint.rules import Rule, official_rules, timm_rules, vit_adapter_rules
from mmbeit3.errors import UserError, one_line

__all__ = ["LAYOUTS", "Layout", "check_shapes", "detect_layout"]


@dataclass(frozen=True)
class Layout:
    """A named table of rules.

    Attributes:
        name: name in reports and commands.
        marks: alternative sets of names in the file's layout. A state dict has the layout if it has all names of one set.
        rules: the table.
        prefix: prefix of all names in the layout, such as ``beit3.``. It is optional when reading and written always.
        unchanged: regular expression for names without a rule that the layout can hold under the same name.
    """

    name: str
    marks: tuple[tuple[str, ...], ...]
    rules: tuple[Rule, ...]
    prefix: str = ""
    unchanged: str = ".*"
    _by_foreign: dict[str, Rule] = field(init=False, repr=False, compare=False, default_factory=dict)
    _by_name: dict[str, Rule] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        # The first part of several identifies the rule; to_ours checks that the other parts exist.
        self._by_foreign.update({rule.foreign[0]: rule for rule in self.rules})
        self._by_name.update({rule.name: rule for rule in self.rules})

    def matches(self, names: Mapping[str, Any]) -> bool:
        """Return True if a state dict with these names has this layout."""
        return any(all(mark in names or self.prefix + mark in names for mark in marks) for marks in self.marks)

    def find_rule(self, name: str) -> Rule | None:
        """Return the rule for a name in mmbeit3, or None."""
        return self._by_name.get(_pattern(name)[0])

    def accepts(self, name: str) -> bool:
        """Return True if the layout has a place for a name in mmbeit3."""
        return self.find_rule(name) is not None or re.fullmatch(self.unchanged, name, re.DOTALL) is not None

    def to_ours(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """Translate a state dict from this layout to mmbeit3's names. Names without a rule pass unchanged.

        Raises:
            UserError: if tensors that form one tensor in mmbeit3 do not match each other, or two tensors get the same name.
        """
        stripped = {name.removeprefix(self.prefix): tensor for name, tensor in state.items()}
        if len(stripped) < len(state):
            _refuse_twice([name for name in stripped if name in state and self.prefix + name in state])
        rest = dict(stripped)
        translated: dict[str, Value] = {}
        for name in stripped:
            pattern, index = _pattern(name)
            rule = self._by_foreign.get(pattern)
            if rule is None:
                continue
            foreign = [part.replace("{i}", index) for part in rule.foreign]
            if all(part in stripped for part in foreign):
                translated[rule.name.replace("{i}", index)] = _join(rule, {part: rest.pop(part) for part in foreign})
        if twice := [name for name in rest if name in translated]:
            _refuse_twice(twice)
        return {**translated, **rest}

    def to_theirs(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """Translate a state dict from mmbeit3's names to this layout. Names without a rule pass unchanged.

        Raises:
            UserError: if two tensors get the same name.
        """
        translated: dict[str, Value] = {}
        for name, tensor in state.items():
            pattern, index = _pattern(name)
            rule = self._by_name.get(pattern)
            parts, names = [tensor], [name]
            if rule is not None:
                prefix = "" if rule.outside else self.prefix
                parts = lift(partial(_split, rule), [tensor])
                names = [prefix + part.replace("{i}", index) for part in rule.foreign]
            if twice := [part for part in names if part in translated]:
                _refuse_twice(twice)
            translated.update(zip(names, parts, strict=True))
        return translated


def _refuse_twice(names: Sequence[str]) -> None:
    raise UserError(f"the checkpoint has {list_names(names)} twice, in two layouts. Remove one of them")


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
            f"the checkpoint is damaged: {list_names(list(parts))} cannot be joined to one tensor (they are {kinds}). Download "
            "or copy it again"
        ) from error


def _pattern(name: str) -> tuple[str, str]:
    """Replace a layer's index by ``{i}``: ``layers.7.x`` gives (``layers.{i}.x``, ``7``)."""
    match = re.search(r"(?:layers?|blocks)\.(\d+)\.", name)
    if match is None:
        return name, ""
    return f"{name[: match.start(1)]}{{i}}{name[match.end(1) :]}", match[1]


def _not_starting_with(parts: Sequence[str], after: str = "") -> str:
    """Return a regular expression for names that do not start with one of ``parts``."""
    alternatives = "|".join(re.escape(part.removesuffix(".")) for part in parts)
    return rf"(?!{after}(?:{alternatives})\.).*"


_ADAPTER_HEADS = ("decode_head", "panoptic_head")

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        # Released and fine-tuned files, with or without the prefix "beit3.". Mark: a name with the vision tower's letter "A".
        # beit3.vision_embed.cls_token -> vision.embed.cls_token. A reference ViT-Adapter's keys can be in the same file.
        Layout(
            "official",
            (("encoder.layers.0.self_attn.q_proj.A.weight",),),
            tuple(official_rules()),
            prefix="beit3.",
            # The layout has no place for fusion FFNs, nor for larger models of mmbeit3.
            unchanged=_not_starting_with((*NETWORK_PARTS, *OWNERS, ADAPTER_VIT)),
        ),
        # Mark: the norm inside the attention, which timm's other ViTs do not have (but some of them can be built with it).
        # blocks.0.norm1.weight -> vision.layers.0.attn.norm.weight. The only head is the one for ImageNet.
        Layout("timm", (("blocks.0.attn.norm.weight",),), tuple(timm_rules()), unchanged=r"(?:fc_norm|head)\.(?:weight|bias)"),
        # Marks: the adapter's level embedding beside the ViT's patch embedding (mmbeit3 has the latter under "vit."), or the
        # former name of the attention in Mask2Former's decoder, for files of a head alone.
        # backbone.blocks.0.gamma1 -> backbone.vit.model.blocks.0.ls1.gamma
        # decode_head.….layers.0.attentions.0.attn.in_proj_bias -> decode_head.….layers.0.cross_attn.attn.in_proj_bias
        Layout(
            "vit_adapter",
            (
                *((f"{backbone}level_embed", f"{backbone}patch_embed.proj.weight") for backbone in BACKBONE_OR_BARE),
                *((f"{head}.transformer_decoder.layers.0.attentions.0.attn.in_proj_weight",) for head in _ADAPTER_HEADS),
            ),
            tuple(vit_adapter_rules()),
            unchanged=_not_starting_with((*NETWORK_PARTS, NETWORK, ADAPTER_VIT), after=f"(?:{re.escape(BACKBONE)})?"),
        ),
        # The whole network, a detector or segmentor, a task or pretraining model, or a backbone. No rules: all names are
        # mmbeit3's. Marks: a tower's embedding at any place where a model can have a tower.
        Layout(
            "mmbeit3",
            (
                *((f"{tower}.embed.{name}.weight",) for tower, name in zip(TOWERS, ("proj", "words"), strict=True)),
                (f"{NETWORK}vision.embed.proj.weight",),
                *((f"{tower}embed.positions",) for tower in VISION_TOWERS),
                *((f"{backbone}{ADAPTER_VIT}{TIMM_MODEL}patch_embed.proj.weight",) for backbone in BACKBONE_OR_BARE),
            ),
            (),
        ),
    )
}


def detect_layout(state: Mapping[str, Any]) -> Layout | None:
    """Return the layout of a state dict, or None if it matches no layout in :data:`LAYOUTS`."""
    return next((layout for layout in LAYOUTS.values() if layout.matches(state)), None)


def check_shapes(state: Mapping[str, Tensor] | Mapping[str, LazyTensor], rules: Iterable[Rule]) -> None:
    """Check tensors under mmbeit3's names against the shapes in a table of rules, and shared sizes against each other.

    Raises:
        UserError: if a shape does not match; the message names the first such tensor.
    """
    by_name = {rule.name: rule for rule in rules}
    # Size of each letter such as C, and the first tensor that has it.
    sizes: dict[str, tuple[int, str]] = {}
    for name, tensor in state.items():
        rule = by_name.get(_pattern(name)[0])
        if rule is None or not rule.shape:
            continue
        axes = rule.shape.split()
        if len(axes) != len(tensor.shape):
            raise UserError(
                f"checkpoint: {one_line(name)} has shape {shape_text(tensor.shape)}, but must have {len(axes)} axes. Download "
                "or copy the file again"
            )
        for axis, size in zip(axes, tensor.shape, strict=True):
            factor, letter = _axis(axis)
            wanted, owner = sizes.setdefault(letter, (size // factor, name)) if letter else (1, name)
            if size != factor * wanted:
                # A letter is taken from the first tensor that has it, so the sizes of two tensors may contradict.
                expected = f"the form {rule.shape.replace(' ', 'x')}"
                if letter and owner != name:
                    expected = f"{one_line(owner)} of shape {shape_text(state[owner].shape)}"
                raise UserError(
                    f"checkpoint: {one_line(name)} has shape {shape_text(tensor.shape)}, which does not match {expected}. "
                    "Download or copy the file again"
                )


def _axis(axis: str) -> tuple[int, str]:
    """Split an axis into factor and letter: ``3C`` gives (3, ``C``), ``C`` gives (1, ``C``), ``16`` gives (16, "")."""
    letter = axis.lstrip("0123456789")
    return int(axis.removesuffix(letter) or 1), letter
