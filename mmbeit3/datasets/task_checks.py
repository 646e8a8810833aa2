"""Checks of an image-text config before training: tokenizers, text lengths and answer lists fit the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmbeit3.datasets.checks.pipelines import find_steps, type_name
from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import UNUSED_POSITIONS, get_arch
from mmbeit3.text import TextTokenizer
from mmbeit3.text.names import read_names

__all__ = ["check_task"]

_MAX_LENGTH = 64
"""Default of :class:`~mmbeit3.datasets.task_transforms.EncodeText`."""


def check_task(cfg: Mapping[str, Any], splits: Sequence[str] = ("train", "val", "test")) -> None:
    """Check tokenizers, text lengths and answer lists of an image-text config. Other configs are ignored.

    Args:
        cfg: a whole config.
        splits: splits whose dataloaders are checked.

    Raises:
        UserError: if a tokenizer cannot be read, or has more ids than the model's word embedding has rows; if texts may be
            longer than the model's position embedding; or if model and data have different answers.
    """
    model = cfg.get("model") or {}
    network = model.get("network")
    if not isinstance(network, Mapping) or "arch" not in network:
        return
    for split in splits:
        dataset = (cfg.get(f"{split}_dataloader") or {}).get("dataset")
        for step in find_steps(dataset, "EncodeText", "VQALabels"):
            if type_name(step) == "EncodeText" and "tokenizer" in step:
                _check_texts(step, network, f"{split}_dataloader")
            elif type_name(step) == "VQALabels" and "answers" in step:
                _check_answers(step["answers"], model, f"{split}_dataloader")
    if isinstance(model.get("tokenizer"), str):
        _open_tokenizer(model["tokenizer"], "model")


def _check_texts(step: Mapping[str, Any], network: Mapping[str, Any], where: str) -> None:
    tokenizer = _open_tokenizer(step["tokenizer"], where)
    try:
        arch = get_arch(network["arch"])
    except ValueError as error:
        raise UserError(f"model.network: {error}") from error
    if tokenizer.vocab_size > arch.vocab_size:
        raise UserError(
            f"{where}: text tokenizer '{step['tokenizer']}' has {tokenizer.vocab_size} ids, more than the {arch.vocab_size} "
            "rows of the model's word embedding: give the tokenizer that the weights were trained with"
        )
    usable = arch.max_text_positions - UNUSED_POSITIONS
    longest = step.get("max_length", _MAX_LENGTH)
    if longest > usable:
        raise UserError(
            f"{where}: EncodeText has max_length={longest} tokens, but the model's position embedding has {usable}: set "
            f"max_length and max_positions of EncodeText to {usable}; longer texts are cut"
        )


def _check_answers(file: str, model: Mapping[str, Any], where: str) -> None:
    answers = read_names(file, "answers")
    if model.get("answers") is not None:
        if read_names(model["answers"], "answers") != answers:
            raise UserError(
                f"{where}: VQALabels and the model have different answers: set model.answers to '{file}', too, or set both "
                "to the list that the weights were trained with"
            )
    elif model.get("num_answers") not in (None, len(answers)):
        raise UserError(
            f"{where}: '{file}' has {len(answers)} answers, but the model has {model['num_answers']}: set model.answers to "
            "this file"
        )


def _open_tokenizer(path: str, where: str) -> TextTokenizer:
    try:
        return TextTokenizer(path)
    except UserError as error:
        raise UserError(
            f"{where}: {error}: set tokenizer to the released beit3.spm, or to a file from tools/train_text_tokenizer.py"
        ) from error
