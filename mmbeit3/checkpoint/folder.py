"""Model folders as on Hugging Face's hub: ``config.json``, ``model.safetensors`` and a card. They contain no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

import mmbeit3
from mmbeit3.checkpoint.lazy import LazyTensor
from mmbeit3.checkpoint.naming import list_names
from mmbeit3.checkpoint.reading import read_state_dict
from mmbeit3.checkpoint.writing import write_safetensors
from mmbeit3.errors import UserError, one_line
from mmbeit3.files import write_atomically

__all__ = ["read_folder", "write_folder"]

_MOST_BYTES = 1 << 20


def write_folder(
    folder: str | Path, kind: str, config: Mapping[str, object], tensors: Mapping[str, Tensor | LazyTensor], card: str
) -> None:
    """Write a model as a folder.

    Args:
        folder: the folder; created if missing. Existing files with these names are replaced.
        kind: kind of the model, e.g. ``'beit3'``; the ``model_type`` in ``config.json``.
        config: values for ``config.json``, of JSON's types.
        tensors: names to tensors; dtypes are kept.
        card: text of ``README.md``.

    Raises:
        UserError: if weights are NaN or infinite, or have a type that safetensors does not support.
    """
    folder = Path(folder)
    write_safetensors(tensors, folder / "model.safetensors")
    content = {"model_type": kind, "mmbeit3_version": mmbeit3.__version__, **config}
    write_atomically(folder / "config.json", (json.dumps(content, indent=2) + "\n").encode())
    write_atomically(folder / "README.md", card.encode())


def read_folder(folder: str | Path, kind: str, known: frozenset[str]) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Read a folder that :func:`write_folder` wrote. It uses no network and runs no code from the folder.

    Args:
        folder: the folder.
        kind: the ``model_type`` expected.
        known: other keys that ``config.json`` may have.

    Returns:
        The configuration and the weights.

    Raises:
        UserError: if a file is missing or damaged, or the configuration has another kind or unknown keys.
    """
    folder = Path(folder).expanduser()
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"folder '{folder}' has no model: config.json is missing. Give a folder that save_pretrained wrote")
    try:
        with path.open("rb") as file:
            config = json.loads(file.read(_MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not valid JSON ({one_line(error)}). Correct it, or copy it again") from error
    if not isinstance(config, dict) or config.pop("model_type", None) != kind:
        raise UserError(f"'{path}' describes another kind of model: model_type must be '{kind}'")
    config.pop("mmbeit3_version", None)
    if unknown := sorted(set(config) - known):
        raise UserError(f"'{path}' has unknown keys: {list_names(unknown)}. Known keys are {', '.join(sorted(known))}")
    return config, read_state_dict(folder)
