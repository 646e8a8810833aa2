"""Checks that the model and the data of a config fit each other, before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import UNUSED_POSITIONS, get_arch
from mmbeit3.pretrain.steps import check_streams
from mmbeit3.pretrain.views import MAX_TEXT_LENGTH
from mmbeit3.text import TextTokenizer

__all__ = ["check_pretraining", "leaves_weights_out"]

_PARTS = {"images": ("image", "visible"), "texts": ("text",), "pairs": ("image", "text", "visible")}
"""Parts of a stream's loss, by its kind."""


def check_pretraining(cfg: Mapping[str, Any]) -> None:
    """Check a config with training data of type :class:`~mmbeit3.pretrain.steps.PretrainSteps`; ignore other configs.

    Raises:
        UserError: if the streams are invalid, the image size is not a multiple of the patch size or the patch size is not the
            model's, texts may be longer than the model's position table, the vocabulary is larger than its embedding table, or
            a loss weight is for a part that no stream has.
    """
    data = _pretraining_data(cfg)
    if data is None:
        return
    check_streams(data.get("streams"))
    for key in ("image_size", "patch_size"):
        if type(data.get(key)) is not int or data[key] < 1:
            raise UserError(f"train_dataloader: {key} must be a whole number of pixels from 1, got {data.get(key)!r}")
    side, patch = data["image_size"], data["patch_size"]
    if side % patch:
        raise UserError(
            f"train_dataloader: image_size {side} is not a multiple of patch_size {patch}: "
            f"use {side // patch * patch} or {(side // patch + 1) * patch} pixels"
        )
    network = cfg["model"].get("network")
    if network is None:
        return
    changes = {name: value for name, value in network.items() if name in get_arch("base").__dataclass_fields__}
    arch = get_arch(network["arch"], **changes)
    if arch.patch_size != patch:
        raise UserError(
            f"train_dataloader has patch_size {patch}, but the model's is {arch.patch_size}, so codes and masks would not fit: "
            "give both the same patch_size"
        )
    parts = [f"{name}.{part}" for name, stream in data["streams"].items() for part in _PARTS[stream["kind"]]]
    if unknown := [name for name in network.get("loss_weights") or {} if name not in parts]:
        raise UserError(f"model.network.loss_weights has '{unknown[0]}', which no stream has: use {', '.join(parts)}")
    # The first rows of the position table are unused, as in the official models.
    positions = arch.max_text_positions - UNUSED_POSITIONS
    for name, stream in data["streams"].items():
        longest = (stream.get("masking") or {}).get("max_length", MAX_TEXT_LENGTH)
        if stream.get("kind") != "images" and longest > positions:
            raise UserError(
                f"stream '{name}' has texts of up to {longest} tokens, more than the {positions} positions of the model: set "
                f"masking=dict(max_length={positions}), or arch=dict(base=..., max_text_positions={longest + UNUSED_POSITIONS})"
            )
    tokenizer = data.get("tokenizer")
    if tokenizer is not None:
        ids = TextTokenizer(tokenizer).vocab_size
        if ids > arch.vocab_size:
            raise UserError(
                f"text tokenizer '{tokenizer}' has {ids} ids, more than the {arch.vocab_size} rows of the model's word "
                f"embedding: train a smaller vocabulary, or set arch=dict(base=..., vocab_size={ids})"
            )


def leaves_weights_out(cfg: Mapping[str, Any]) -> bool:
    """Return True if a config's streams predict only images or only texts: other weights then get no gradients.

    DistributedDataParallel must know this, because it waits for the gradients of all weights.
    """
    data = _pretraining_data(cfg)
    if data is None or cfg["model"].get("network") is None:
        return False
    maskings = [(stream["kind"], stream.get("masking") or {}) for stream in data["streams"].values()]
    images = any(kind != "texts" and masking.get("image_ratio", 0) is not None for kind, masking in maskings)
    texts = any(kind != "images" and masking.get("text_ratio", 0) is not None for kind, masking in maskings)
    return not (images and texts)


def _pretraining_data(cfg: Mapping[str, Any]) -> Mapping[str, Any] | None:
    data = (cfg.get("train_dataloader") or {}).get("dataset") or {}
    return data if data.get("type") in ("PretrainSteps", "mmbeit3.PretrainSteps") else None
