"""Checks that a config's folders and files exist, and helpers to check a sample of its images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mmbeit3.errors import UserError
from mmbeit3.images import ImageError, image_size, walk_files
from mmbeit3.images.decoding import is_complete_jpeg, is_complete_png

__all__ = [
    "SAMPLE",
    "check_complete",
    "check_files",
    "count_suffixes",
    "is_remote",
    "is_remote_path",
    "join",
    "sample",
    "sample_size",
]

SAMPLE = 300
"""Largest number of files per split that are opened before training."""

_MIN_SAMPLE, _MAX_PIXELS = 20, 100_000_000
"""Limits of a sample that is decoded. A hundred million pixels take about two seconds."""

T = TypeVar("T")


def is_remote(cfg: Mapping[str, Any]) -> bool:
    """Return True if MMEngine reads a dataset through a network backend, so that its files cannot be checked."""
    backend = (cfg.get("backend_args") or {}).get("backend", "local")
    return is_remote_path(cfg.get("data_root") or "") or backend not in ("local", "disk", "LocalBackend")


def is_remote_path(path: object) -> bool:
    """Return True if MMEngine reads a path through a network backend. ``s3:`` is also valid without slashes."""
    return "://" in str(path) or str(path).startswith("s3:")


def join(root: Any, path: Any) -> str:
    """Join a dataset's root and a path in the same way as MMEngine."""
    return os.path.join(root or "", path or "")  # noqa: PTH118  (Path is slow for a hundred thousand files)


def sample(items: Sequence[T], limit: int = SAMPLE) -> list[T]:
    """Return at most ``limit`` evenly spaced items, including the first and the last."""
    if len(items) <= limit:
        return list(items)
    return [items[round(number * (len(items) - 1) / (limit - 1))] for number in range(limit)]


def sample_size(path: str) -> int:
    """Return how many files of a split to decode, if all have the size of this one: about two seconds of work.

    Raises:
        ImageError: if the file is not an image.
        OSError: if the file cannot be read.
    """
    width, height = image_size(path)
    return max(_MIN_SAMPLE, min(SAMPLE, _MAX_PIXELS // (width * height)))


def check_files(cfg: Mapping[str, Any], where: str) -> None:
    """Check that a dataset's folders and annotation file exist.

    Raises:
        UserError: naming the first that is missing.
    """
    root = Path(cfg.get("data_root") or "")
    if not root.is_dir():
        raise UserError(f"{where}: data folder '{root}' does not exist: set data_root in the config")
    prefixes = cfg.get("data_prefix") or {}
    named = {"": prefixes} if isinstance(prefixes, str) else {f".{kind}": prefix for kind, prefix in prefixes.items()}
    for kind, prefix in named.items():
        if prefix and not (root / prefix).is_dir():
            raise UserError(
                f"{where}: folder '{root / prefix}' (data_prefix{kind}) does not exist: set data_root and data_prefix"
            )
    if cfg.get("ann_file") and not (root / cfg["ann_file"]).exists():
        raise UserError(f"{where}: annotation file '{root / cfg['ann_file']}' does not exist: set ann_file in the config")


def count_suffixes(folder: str | Path) -> str:
    """Describe the files in a folder by their suffixes, for error messages: ``12 .jpg, 3 .txt``. Hidden files do not count."""
    suffixes = Counter(Path(name).suffix or "without suffix" for name in (walk_files(folder) if Path(folder).is_dir() else ()))
    return ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(3)) or "nothing"


def check_complete(path: str, orient: bool = True) -> tuple[int, int]:
    """Check that an image file is complete, without decoding it.

    Returns:
        Width and height in pixels.

    Raises:
        ImageError: if it is not an image or is truncated.
        OSError: if it cannot be read.
    """
    size = image_size(path, orient)
    with Path(path).open("rb") as file:
        head = file.read(2)
        # The markers of a JPEG and a PNG; other formats have no cheap check.
        if head == b"\xff\xd8" and not is_complete_jpeg(head + file.read()):
            raise ImageError("is truncated")
        if head == b"\x89P" and not is_complete_png(file):
            raise ImageError("is truncated")
    return size
