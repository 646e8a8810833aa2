"""Checks that a config's model and data fit each other, before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import get_arch
from mmbeit3.pretrain.steps import check_streams
from mmbeit3.pretrain.views import MAX_TEXT_LENGTH
from mmbeit3.text import TextTokenizer

__all__ = ["check_pretraining"]


def check_pretraining(cfg: Mapping[str, Any]) -> None:
    """Check a config whose training data are :class:`~mmbeit3.pretrain.steps.PretrainSteps`; others are left alone.

    Raises:
        UserError: if streams are not as they should be, images are no grid of the model's patches, texts may be longer than its
            table of positions, or the vocabulary has more ids than its table of words has rows.
    """
    data = (cfg.get("train_dataloader") or {}).get("dataset") or {}
    if data.get("type") not in ("PretrainSteps", "mmbeit3.PretrainSteps"):
        return
    check_streams(data.get("streams"))
    for key in ("image_size", "patch_size"):
        if type(data.get(key)) is not int or data[key] < 1:
            raise UserError(f"train_dataloader: {key} must be a whole number of pixels from 1, got {data.get(key)!r}")
    side, patch = data["image_size"], data["patch_size"]
    if side % patch:
        raise UserError(
            f"train_dataloader: images of {side} pixels are no grid of patches of {patch}, which a tokenizer's codes could "
            f"match: use {side // patch * patch} or {(side // patch + 1) * patch} pixels"
        )
    network = cfg["model"].get("network")
    if network is None:
        return
    changes = {name: value for name, value in network.items() if name in get_arch("base").__dataclass_fields__}
    arch = get_arch(network["arch"], **changes)
    if arch.patch_size != patch:
        raise UserError(
            f"train_dataloader cuts images into patches of {patch} pixels, and the model's are {arch.patch_size}: "
            "codes and masks would not match; make patch_size the model's"
        )
    # Two rows of the table are nobody's.
    places = arch.max_text_positions - 2
    for name, stream in data["streams"].items():
        longest = (stream.get("masking") or {}).get("max_length", MAX_TEXT_LENGTH)
        if stream.get("kind") != "images" and longest > places:
            raise UserError(
                f"stream '{name}' has texts of up to {longest} tokens, more than the {places} positions of the model: set "
                f"masking=dict(max_length={places}), or arch=dict(base=..., max_text_positions={longest + 2})"
            )
    tokenizer = data.get("tokenizer")
    if tokenizer is not None:
        ids = TextTokenizer(tokenizer).vocab_size
        if ids > arch.vocab_size:
            raise UserError(
                f"text tokenizer '{tokenizer}' has {ids} ids, more than the {arch.vocab_size} rows of the model's word table: "
                f"train a smaller vocabulary, or set arch=dict(base=..., vocab_size={ids})"
            )
