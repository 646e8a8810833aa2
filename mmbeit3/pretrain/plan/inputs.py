"""Inputs of the size that a pretraining config's steps have, of noise: no data is needed to plan or to measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import UNUSED_POSITIONS, Arch
from mmbeit3.pretrain.views import Masking

__all__ = ["example_inputs", "streams_of"]

_FIRST_WORD = 4
"""The ids below are special."""


def streams_of(cfg: Config) -> dict[str, dict[str, Any]]:
    """The streams of a pretraining config: names to ``kind``, ``batch`` and ``masking``.

    Raises:
        UserError: if the config has none.
    """
    streams = cfg.get("train_dataloader", {}).get("dataset", {}).get("streams")
    if cfg.get("model", {}).get("type") not in ("mmbeit3.BEiT3Pretrainer", "BEiT3Pretrainer") or not streams:
        raise UserError(f"config '{cfg.filename}' is not one of pretraining: plan needs a BEiT3Pretrainer and its streams")
    return {name: dict(stream) for name, stream in streams.items()}


def example_inputs(cfg: Config, arch: Arch, text_length: int | None = None) -> dict[str, dict[str, Tensor]]:
    """Make inputs of :class:`~mmbeit3.pretrain.BEiT3Pretrainer`: as many are masked as in training, nothing is padded.

    Args:
        cfg: a pretraining config.
        arch: the network's sizes.
        text_length: tokens of every text; by default the longest that the config allows and the network has positions for.

    Returns:
        Streams by name, see :meth:`mmbeit3.pretrain.BEiT3Pretrainer.forward`.

    Raises:
        UserError: if the config is none of pretraining, or texts are longer than the network's positions.
    """
    dataset = cfg.train_dataloader.dataset
    side, grid = dataset.image_size, dataset.image_size // dataset.patch_size
    inputs = {}
    for name, stream in streams_of(cfg).items():
        try:
            masking = Masking(grid=(grid, grid), **stream.get("masking", {}))
        except TypeError as error:
            raise UserError(f"stream '{name}': {error}") from error
        batch, kind = int(stream["batch"]), stream.get("kind")
        tensors: dict[str, Tensor] = {}
        if kind in ("images", "pairs"):
            tensors.update(_images(batch, side, masking))
        if kind in ("texts", "pairs"):
            tensors.update(_texts(batch, _length(name, arch, masking, text_length), masking, arch.vocab_size))
        inputs[name] = tensors
    return inputs


def _length(name: str, arch: Arch, masking: Masking, wanted: int | None) -> int:
    most = arch.max_text_positions - UNUSED_POSITIONS
    if wanted is None:
        return min(masking.max_length, most)
    if not 3 <= wanted <= most:
        raise UserError(f"stream '{name}': texts of {wanted} tokens: the network takes 3 to {most}")
    return wanted


def _images(batch: int, side: int, masking: Masking) -> dict[str, Tensor]:
    tensors = {"image": torch.randint(256, (batch, 3, side, side), dtype=torch.uint8)}
    if masking.count is not None:
        hidden = torch.arange(masking.grid[0] * masking.grid[1]) < masking.count
        tensors["masked_positions"] = hidden.view(masking.grid).repeat(batch, 1, 1)
    return tensors


def _texts(batch: int, length: int, masking: Masking, vocab_size: int) -> Mapping[str, Tensor]:
    words = torch.randint(_FIRST_WORD, vocab_size, (batch, length))
    tensors = {"tokens": words, "padding_mask": torch.zeros(batch, length, dtype=torch.bool)}
    if masking.text_ratio is not None:
        count = max(round(masking.text_ratio * (length - 2)), 1)
        hidden = (torch.arange(length) >= 1) & (torch.arange(length) < 1 + count)
        tensors.update(words=words.clone(), masked_words=hidden.repeat(batch, 1))
    return tensors
