"""From names to files and weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from mmbeit3.checkpoint import read_state_dict
from mmbeit3.downloads import cache_path, download
from mmbeit3.errors import UserError
from mmbeit3.zoo.index import Entry, find
from mmbeit3.zoo.sentencepiece import check_sentencepiece

__all__ = ["fetch", "load", "where"]

_WEIGHTS = (".pth", ".safetensors")


def where(name: str) -> Path:
    """Where a file of the zoo lies or would lie, whether it is there or not.

    Raises:
        UserError: if the zoo has no such file.
    """
    return cache_path(_downloadable(name).sources[0])


def fetch(name: str, *, vision_only: bool = False) -> Path:
    """Get a file of the zoo, from the cache or the network; see :func:`mmbeit3.downloads.download`.

    Args:
        name: as in the index.
        vision_only: the vision tower suffices, so that timm's copy of it may stand in where the file cannot be had.

    Returns:
        Path of the whole, checked file.

    Raises:
        UserError: if there is no such file, it cannot be had, or it is not what it was.
    """
    entry = _downloadable(name)
    twin = find(entry.vision_twin) if entry.vision_twin else None
    try:
        return _download(entry)
    except UserError as error:
        # A file that is there and was refused is nothing to pass over.
        if twin is None or cache_path(entry.sources[0]).exists():
            raise
        if not vision_only:
            raise UserError(f"{error}; '{twin.name}' has its vision tower alone") from error
        try:
            return _download(twin)
        except UserError as second:
            raise UserError(f"{error}; and its stand-in: {second}") from second


def load(name: str, *, vision_only: bool = False) -> dict[str, Tensor]:
    """Get the weights of a model of the zoo, read by :func:`mmbeit3.checkpoint.read_state_dict`.

    Args:
        name: as in the index.
        vision_only: as for :func:`fetch`. The layout may then be timm's, which this package's loaders know as well.

    Returns:
        Names to tensors, as stored.

    Raises:
        UserError: as :func:`fetch`, or if the file holds no weights.
    """
    entry = _downloadable(name)
    if not _is_weights(entry):
        raise UserError(f"'{name}' is no checkpoint: get its path by mmbeit3.zoo.fetch('{name}')")
    return read_state_dict(fetch(name, vision_only=vision_only))


def _downloadable(name: str) -> Entry:
    entry = find(name)
    if not entry.sources:
        raise UserError(f"'{name}' has no weights: nobody published any, train its config {entry.config}")
    return entry


def _download(entry: Entry) -> Path:
    return download(entry.sources, size=entry.size, sha256=entry.sha256, check=_check_of(entry))


def _is_weights(entry: Entry) -> bool:
    return Path(entry.sources[0]).suffix in _WEIGHTS


def _check_of(entry: Entry) -> Callable[[Path], object] | None:
    suffix = Path(entry.sources[0]).suffix
    return read_state_dict if suffix in _WEIGHTS else {".json": _check_json, ".spm": check_sentencepiece}.get(suffix)


def _check_json(path: Path) -> None:
    try:
        json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"'{path}' is no whole JSON file ({error})") from error
