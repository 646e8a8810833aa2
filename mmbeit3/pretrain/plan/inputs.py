"""Random inputs with the sizes of a pretraining config's steps, so that planning and measuring need no data."""

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
"""Smallest id of a word; smaller ones are special tokens."""


def streams_of(cfg: Config) -> dict[str, dict[str, Any]]:
    """Return the streams of a pretraining config by name: dicts with ``kind``, ``batch`` and ``masking``.

    Raises:
        UserError: if the config is not a pretraining config.
    """
    streams = cfg.get("train_dataloader", {}).get("dataset", {}).get("streams")
    if cfg.get("model", {}).get("type") not in ("mmbeit3.BEiT3Pretrainer", "BEiT3Pretrainer") or not streams:
        raise UserError(f"config '{cfg.filename}' is not a pretraining config: it needs a BEiT3Pretrainer model and streams")
    return {name: dict(stream) for name, stream in streams.items()}


def example_inputs(cfg: Config, arch: Arch, text_length: int | None = None) -> dict[str, dict[str, Tensor]]:
    """Make inputs of :class:`~mmbeit3.pretrain.pretrainer.BEiT3Pretrainer`, masked as in training and without padding.

    Args:
        cfg: a pretraining config.
        arch: the network's sizes.
        text_length: number of tokens of every text; by default the largest that the config and the network's positions allow.

    Returns:
        Streams by name, see :meth:`mmbeit3.pretrain.pretrainer.BEiT3Pretrainer.forward`.

    Raises:
        UserError: if the config is not a pretraining config, or ``text_length`` is outside what the network takes.
    """
    dataset = cfg.train_dataloader.dataset
    side, grid = dataset.image_size, dataset.image_size // dataset.patch_size
    inputs = {}
    for name, stream in streams_of(cfg).items():
        try:
            masking = Masking(grid=(grid, grid), **(stream.get("masking") or {}))
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
    largest = arch.max_text_positions - UNUSED_POSITIONS
    if wanted is None:
        return min(masking.max_length, largest)
    if not 3 <= wanted <= largest:
        raise UserError(f"stream '{name}': texts of {wanted} tokens do not fit: the network takes 3 to {largest}")
    return wanted


def _images(batch: int, side: int, masking: Masking) -> dict[str, Tensor]:
    tensors = {"image": torch.randint(256, (batch, 3, side, side), dtype=torch.uint8)}
    if masking.num_masking_patches is not None:
        hidden = torch.arange(masking.grid[0] * masking.grid[1]) < masking.num_masking_patches
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
