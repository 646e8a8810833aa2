"""Loading of image tokenizers from checkpoints."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmbeit3.checkpoint import read_state_dict
from mmbeit3.checkpoint.prefixes import split_by_prefix
from mmbeit3.errors import UserError, list_first
from mmbeit3.pretrain.image_tokenizers.vqkd import VQKD

__all__ = ["HEAD_DIMS", "load_vqkd", "read_vqkd_state"]

_FOREIGN = ("loss", "teacher", "scaling")
"""Prefixes of keys in released files that do not belong to the tokenizer: the teacher and its input scaling."""

_PREFIX = "tokenizer."
"""Prefix of the tokenizer's keys in checkpoints of ``VQKDTrainer`` and ``BEiT3Pretrainer``."""

_DECODER = ("decoder.", "decode_task_layer.")
_MAX_LISTED = 4
"""Number of mismatched keys that an error message lists."""

HEAD_DIMS = 64
"""Width of the attention heads of the released tokenizers, which a state dict does not show."""


def read_vqkd_state(source: str | Path) -> dict[str, Tensor]:
    """Read a tokenizer's state dict from a released file or from a checkpoint of training.

    Args:
        source: a file or URL for :func:`~mmbeit3.checkpoint.read_state_dict`.

    Returns:
        Tensors by their official names (``encoder.*``, ``quantize.*`` …), without a teacher, a loss or the model that contains
        the tokenizer. :func:`load_vqkd` checks that they form a tokenizer; this function does not.

    Raises:
        UserError: if the file cannot be read.
    """
    state = read_state_dict(source)
    owned, _ = split_by_prefix(state, _PREFIX)
    return _without_foreign(owned or state)


def load_vqkd(source: str | Path | Mapping[str, Tensor], **sizes: Any) -> VQKD:
    """Build a tokenizer with the sizes of a checkpoint, and load its weights strictly.

    A file without a decoder gives a tokenizer without one.

    Args:
        source: a file or URL for :func:`read_vqkd_state`, or a state dict with the official names.
        **sizes: arguments of :class:`VQKD` that replace the sizes inferred from the shapes. The number of heads cannot be
            inferred: heads are 64 wide (:data:`HEAD_DIMS`), as in the released models, unless ``heads`` is given.
            ``teacher_dims=None`` omits the decoder; ``frozen=True`` freezes the tokenizer.

    Returns:
        The tokenizer in evaluation mode, on the CPU, in float32.

    Raises:
        UserError: if the file cannot be read, is not a tokenizer, or does not fit; the message lists the keys.
    """
    name = f"tokenizer '{source}'" if isinstance(source, str | Path) else "the tokenizer's state dict"
    state = read_vqkd_state(source) if isinstance(source, str | Path) else _without_foreign(source)
    arguments = {**_infer(state, name), **sizes}
    if arguments["teacher_dims"] is None:
        state = {key: value for key, value in state.items() if not key.startswith(_DECODER)}
    try:
        tokenizer = VQKD(**arguments)
    except ValueError as error:
        raise UserError(f"{name} cannot be built: {error}") from error
    _check(tokenizer, state, name)
    tokenizer.load_state_dict(state)
    return tokenizer.eval()


def _without_foreign(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(_FOREIGN)}


def _infer(state: Mapping[str, Tensor], name: str) -> dict[str, Any]:
    """Infer the arguments of :class:`VQKD` from the shapes of a state dict."""

    def shape(key: str, ndim: int) -> tuple[int, ...]:
        if key not in state or state[key].ndim != ndim:
            found = f"has shape {tuple(state[key].shape)}" if key in state else "is missing"
            raise UserError(f"{name} is not a VQ-KD tokenizer in the official layout: {key} {found}")
        return tuple(state[key].shape)

    dims, _, patch_size, _ = shape("encoder.patch_embed.proj.weight", 4)
    patches = shape("encoder.pos_embed", 3)[1] - 1
    side = math.isqrt(max(patches, 0))
    if not side or side * side != patches:
        raise UserError(f"{name}: encoder.pos_embed has {patches + 1} rows, which is not 1 + a square grid of patches")
    num_codes, code_dims = shape("quantize.embedding.weight", 2)
    sizes: dict[str, Any] = {
        "dims": dims,
        "depth": _depth(state, "encoder"),
        "heads": max(dims // HEAD_DIMS, 1),
        "image_size": side * patch_size,
        "patch_size": patch_size,
        "num_codes": num_codes,
        "code_dims": code_dims,
        "teacher_dims": None,
    }
    if any(key.startswith(_DECODER) for key in state):
        sizes["decoder_depth"] = _depth(state, "decoder")
        sizes["decoder_dims"] = shape("decoder.patch_embed.proj.weight", 4)[0]
        sizes["teacher_dims"] = shape("decode_task_layer.2.weight", 2)[0]
    return sizes


def _depth(state: Mapping[str, Tensor], part: str) -> int:
    matches = (re.match(rf"{part}\.blocks\.(\d+)\.", key) for key in state)
    return 1 + max((int(match[1]) for match in matches if match), default=-1)


def _check(tokenizer: VQKD, state: Mapping[str, Tensor], name: str) -> None:
    wanted = tokenizer.state_dict()
    problems = [f"{key} is missing" for key in wanted if key not in state]
    problems += [f"{key} is unexpected" for key in state if key not in wanted]
    problems += [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape
    ]
    if problems:
        raise UserError(f"{name} does not fit: {list_first(problems, _MAX_LISTED, separator='; ')}")
