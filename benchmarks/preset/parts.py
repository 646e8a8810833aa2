"""Parts of the preset, the most important first."""

from __future__ import annotations

from benchmarks.preset.attention import ATTENTION_GOALS, attention_check
from benchmarks.preset.compiling import COMPILE_GOALS, compile_step
from benchmarks.preset.context import Part
from benchmarks.preset.heads import MASK2FORMER_GOALS, MASK_RCNN_GOALS, mask2former, mask_rcnn
from benchmarks.preset.imports import IMPORT_GOALS, import_time
from benchmarks.preset.networks import (
    ADAPTER_GOALS,
    DEFORM_ATTN_GOALS,
    FORWARD_GOALS,
    HOST_GOALS,
    PRETRAIN_GOALS,
    TOWER_GOALS,
    adapter_large,
    adapter_launches,
    deform_attn,
    pretrain,
    tower_forward,
    tower_train,
)

__all__ = ["PARTS"]

_PARTS = [
    Part("attention-check", ATTENTION_GOALS, 45, attention_check, many=True),
    Part("tower-train", TOWER_GOALS, 75, tower_train),
    Part("adapter-train", ADAPTER_GOALS, 40, adapter_large),
    Part("adapter-launches", HOST_GOALS, 35, adapter_launches),
    Part("tower-forward", FORWARD_GOALS, 60, tower_forward),
    Part("mask2former", MASK2FORMER_GOALS, 60, mask2former),
    Part("deform-attn", DEFORM_ATTN_GOALS, 50, deform_attn),
    Part("pretrain-step", PRETRAIN_GOALS, 40, pretrain),
    Part("mask-rcnn", MASK_RCNN_GOALS, 45, mask_rcnn),
    Part("compile", COMPILE_GOALS, 70, compile_step),
    Part("imports", IMPORT_GOALS, 75, import_time),
]

PARTS: dict[str, Part] = {part.name: part for part in _PARTS}
"""Parts by name; their limits may add up to more than a run may take, because most need less."""
