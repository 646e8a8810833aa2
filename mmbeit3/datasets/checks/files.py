"""Whether folders and files are where a config says, and whether a sample of the images can be read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mmbeit3.errors import UserError
from mmbeit3.images import ImageError, image_size, walk_files
from mmbeit3.images.decoding import is_whole_jpeg

__all__ = [
    "SAMPLE",
    "budget",
    "check_files",
    "check_whole",
    "count_suffixes",
    "find_missing",
    "is_remote",
    "join",
    "sample",
]

SAMPLE = 300
"""Files of a split that are opened before training; all where there are no more."""

_LEAST, _PIXELS = 20, 100_000_000

T = TypeVar("T")


def is_remote(cfg: Mapping[str, Any]) -> bool:
    """Whether MMEngine reads a dataset through one of its network backends; it cannot be looked at from here."""
    root = str(cfg.get("data_root") or "")
    backend = (cfg.get("backend_args") or {}).get("backend", "local")
    return "://" in root or root.startswith("s3:") or backend not in ("local", "disk", "LocalBackend")


def join(root: Any, path: Any) -> str:
    """A path below a dataset's root, as MMEngine joins them."""
    return os.path.join(root or "", path or "")  # noqa: PTH118  (Path is slow for a hundred thousand)


def sample(items: Sequence[T], most: int = SAMPLE) -> list[T]:
    """Evenly spaced items, the first and the last among them; all if there are no more than ``most``."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def budget(path: str) -> int:
    """How many files to decode of a split whose images are like this one: about two seconds' work.

    Raises:
        ImageError: if it is no image.
        OSError: if it cannot be read.
    """
    width, height = image_size(path)
    return max(_LEAST, min(SAMPLE, _PIXELS // (width * height)))


def check_files(cfg: Mapping[str, Any], where: str) -> None:
    """Check that a dataset's folders and annotation file exist.

    Raises:
        UserError: naming what is missing.
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


def find_missing(paths: Iterable[str]) -> list[str]:
    """Those of many files that do not exist. Each folder is listed only once."""
    listed: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in listed:
            listed[folder] = set(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else set()  # noqa: PTH112, PTH208
        if name not in listed[folder]:
            missing.append(path)
    return missing


def count_suffixes(folder: str | Path) -> str:
    """What a folder holds, by the endings of its files' names; hidden files are left out."""
    suffixes = Counter(Path(name).suffix or "without ending" for name in (walk_files(folder) if Path(folder).is_dir() else ()))
    return ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(3)) or "nothing"


def check_whole(path: str, orient: bool = True) -> tuple[int, int]:
    """Width and height of an image file, after a look at whether it is whole; pixels are not decoded.

    Raises:
        ImageError: if it is no image or is truncated.
        OSError: if it cannot be read.
    """
    size = image_size(path, orient)
    with Path(path).open("rb") as file:
        head = file.read(2)
        if head == b"\xff\xd8" and not is_whole_jpeg(head + file.read()):
            raise ImageError("is truncated")
        if head == b"\x89P":
            file.seek(-min(Path(path).stat().st_size, 1 << 12), os.SEEK_END)
            if b"IEND" not in file.read():
                raise ImageError("is truncated")
    return size
