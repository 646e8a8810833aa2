"""Downloading the zoo's files and loading its weights by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from mmbeit3.checkpoint import read_state_dict
from mmbeit3.downloads import cache_path, download
from mmbeit3.errors import UserError
from mmbeit3.zoo.index import Model, find

__all__ = ["download_model", "fetch", "load", "local_path"]


def local_path(name: str) -> Path:
    """Return the cache path of a file of the zoo; the file need not be downloaded yet.

    Raises:
        UserError: if the zoo has no such file.
    """
    return cache_path(_find_published(name).sources[0])


def fetch(name: str, *, vision_only: bool = False) -> Path:
    """Return a file of the zoo from the cache, and download it first if needed; see :func:`mmbeit3.downloads.download`.

    Args:
        name: name in the index.
        vision_only: use timm's copy of the vision tower if the file cannot be downloaded.

    Returns:
        Path of the complete, verified file.

    Raises:
        UserError: if the zoo has no such file, or it cannot be downloaded or verified.
    """
    model = _find_published(name)
    twin = find(model.vision_twin) if model.vision_twin else None
    try:
        return download_model(model)
    except UserError as error:
        # A cached file that fails verification must be reported, not replaced.
        if twin is None or cache_path(model.sources[0]).exists():
            raise
        if not vision_only:
            raise UserError(f"{error}; '{twin.name}' has only its vision tower") from error
        try:
            return download_model(twin)
        except UserError as second:
            raise UserError(f"{error}; its replacement fails as well: {second}") from second


def load(name: str, *, vision_only: bool = False) -> dict[str, Tensor]:
    """Load the weights of a model of the zoo by :func:`mmbeit3.checkpoint.read_state_dict`.

    Args:
        name: name in the index.
        vision_only: see :func:`fetch`. The weights may then be in timm's layout, which this package's loaders accept.

    Returns:
        Names to tensors, as stored in the file.

    Raises:
        UserError: see :func:`fetch`; or if the file is not a checkpoint.
    """
    if not _is_checkpoint(_find_published(name)):
        raise UserError(f"'{name}' is not a checkpoint: mmbeit3.zoo.fetch('{name}') returns its path")
    return read_state_dict(fetch(name, vision_only=vision_only))


def download_model(model: Model) -> Path:
    """Return the file of a model from the cache, and download it first if needed.

    Args:
        model: an entry of any index, with ``sources``.

    Raises:
        UserError: if it cannot be downloaded or verified.
    """
    return download(model.sources, size=model.size, sha256=model.sha256, check=_check_of(model))


def _find_published(name: str) -> Model:
    model = find(name)
    if not model.sources:
        raise UserError(f"'{name}' has no published weights: train its config {model.config}")
    return model


def _is_checkpoint(model: Model) -> bool:
    return Path(model.sources[0]).suffix in (".pth", ".safetensors")


def _check_of(model: Model) -> Callable[[Path], object] | None:
    """The check of a file whose SHA-256 is not known, by its suffix."""
    if _is_checkpoint(model):
        return read_state_dict
    return {".json": _check_json, ".spm": _check_sentencepiece}.get(Path(model.sources[0]).suffix)


def _check_json(path: Path) -> None:
    try:
        json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"'{path}' is not a complete JSON file ({error})") from error


def _check_sentencepiece(path: Path) -> None:
    """Detect a truncated SentencePiece model without the library; truncated copies of ``beit3.spm`` are in circulation.

    The file is a protobuf message of length-delimited fields: 1 (a piece; repeated), 2 (trainer) and 3 (normalizer).
    """
    content, at, fields = path.read_bytes(), 0, set()
    try:
        while at < len(content):
            fields.add(content[at])
            length, shift, more = 0, 0, True
            while more:
                at += 1
                length |= (content[at] & 0x7F) << shift
                shift, more = shift + 7, content[at] >= 0x80
            at += 1 + length
    except IndexError:
        at = -1
    if at != len(content) or not fields >= {1 << 3 | 2, 2 << 3 | 2, 3 << 3 | 2}:
        raise UserError(f"'{path}' is not a complete SentencePiece model")
