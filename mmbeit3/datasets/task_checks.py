"""Whether a task's model fits the texts and answers that its data give it, before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import UNUSED_POSITIONS, get_arch
from mmbeit3.text import TextTokenizer
from mmbeit3.text.names import read_names

__all__ = ["check_task"]

_MAX_LENGTH = 64
"""Default of :class:`~mmbeit3.datasets.task_transforms.EncodeText`."""


def check_task(cfg: Mapping[str, Any], splits: Sequence[str] = ("train", "val", "test")) -> None:
    """Check vocabularies, lengths of texts and lists of answers of a config of the tasks; other configs are left alone.

    Args:
        cfg: a whole config.
        splits: whose dataloaders to look at.

    Raises:
        UserError: if a vocabulary cannot be read, or has more ids than the model's word table has rows; if texts may be longer
            than its position table; or if model and data have different answers.
    """
    model = cfg.get("model") or {}
    network = model.get("network")
    if not isinstance(network, Mapping) or "arch" not in network:
        return
    for split in splits:
        for step in _steps((cfg.get(f"{split}_dataloader") or {}).get("dataset")):
            kind = str(step.get("type")).rpartition(".")[2]
            if kind == "EncodeText" and "tokenizer" in step:
                _check_texts(step, network, f"{split}_dataloader")
            elif kind == "VQALabels" and "answers" in step:
                _check_answers(step["answers"], model, f"{split}_dataloader")
    if isinstance(model.get("tokenizer"), str):
        _open(model["tokenizer"], "model")


def _steps(part: Any) -> Iterator[Mapping[str, Any]]:
    """The transforms in a dataset's config, whatever they are wrapped in."""
    if isinstance(part, Mapping):
        for key in ("dataset", "datasets", "pipeline", "transforms"):
            yield from _steps(part.get(key))
        yield part
    elif isinstance(part, list | tuple):
        for one in part:
            yield from _steps(one)


def _check_texts(step: Mapping[str, Any], network: Mapping[str, Any], where: str) -> None:
    tokenizer = _open(step["tokenizer"], where)
    try:
        arch = get_arch(network["arch"])
    except ValueError as error:
        raise UserError(f"model.network: {error}") from error
    if tokenizer.vocab_size > arch.vocab_size:
        raise UserError(
            f"{where}: text tokenizer '{step['tokenizer']}' has {tokenizer.vocab_size} ids, more than the {arch.vocab_size} "
            "rows of the model's word table: give the tokenizer that the weights were trained with"
        )
    usable = arch.max_text_positions - UNUSED_POSITIONS
    longest = step.get("max_length", _MAX_LENGTH)
    if longest > usable:
        raise UserError(
            f"{where}: EncodeText lets texts have {longest} tokens, but the model's position table has room for {usable}: set "
            f"max_length and max_positions to {usable}, and longer texts are cut"
        )


def _check_answers(file: str, model: Mapping[str, Any], where: str) -> None:
    answers = read_names(file, "answers")
    if model.get("answers") is not None:
        if read_names(model["answers"], "answers") != answers:
            raise UserError(
                f"{where}: VQALabels and the model have different answers: give the model the list '{file}', too, or both the "
                "list that its weights were trained with"
            )
    elif model.get("num_answers") not in (None, len(answers)):
        raise UserError(
            f"{where}: answers '{file}' are {len(answers)}, but the model has {model['num_answers']}: set model.answers to the "
            "file"
        )


def _open(path: str, where: str) -> TextTokenizer:
    try:
        return TextTokenizer(path)
    except UserError as error:
        raise UserError(
            f"{where}: {error}: set tokenizer to the released beit3.spm, or to what tools/train_text_tokenizer.py wrote"
        ) from error
