"""The protocol of record collections, and the function that opens one by kind and path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data.image_files import LIST_SUFFIXES, ImageFolder, ImageList
from mmbeit3.pretrain.data.indexed import Indexed, JoinedRecords
from mmbeit3.pretrain.data.local import PairFiles, TextFiles
from mmbeit3.pretrain.data.shards import TarShards
from mmbeit3.pretrain.data.types import KINDS, LazyRecord, Reader, refuse_address

__all__ = ["ImagePath", "Records", "open_records"]

ImagePath = str | Path | Mapping[str, Any]

# Also matches endings inside braces: {a,b}.tar, {a.tar,b.tar} and a.{tar,tgz}.
_TAR = re.compile(r"[.{,](tar|tgz|tar\.(gz|bz2|xz))\}*$", re.IGNORECASE)


class Records(Protocol):
    """All records of a data set, split between readers without overlap or loss."""

    fingerprint: str
    """Changes with the names and numbers of files or records, so that resuming with other data is detected."""

    def read_epoch(self, reader: Reader, epoch: int, seed: int, shuffle: bool, start: int) -> Iterator[LazyRecord]:
        """Yield a reader's part of an epoch without its first ``start`` records; the order depends on the arguments only."""
        ...


def open_records(kind: str, paths: ImagePath | Sequence[ImagePath], buffer: int = 1000) -> Records:
    """Open records: tar shards if the paths end in .tar, .tgz, .tar.gz, .tar.bz2 or .tar.xz, else local files.

    Args:
        kind: 'images' (folders and lists of images), 'texts' (plain text or JSON-lines files) or 'pairs' (JSON-lines files).
        paths: files, shards (with brace expansion and wildcards), or folders. For images, a ``.txt`` file lists one path per
            line and a COCO ``.json`` file lists ``file_name``, both relative to the file's folder. ``dict(list=FILE,
            folder=FOLDER)`` gives a list whose names are relative to another folder.
        buffer: number of records in the shuffle buffer of shards.

    Raises:
        UserError: if the kind is unknown, no path is given, a path does not exist or is an address, or shards and files are
            mixed.
    """
    if kind not in KINDS:
        raise UserError(f"unknown kind of records '{kind}': give one of {', '.join(KINDS)}")
    given = [paths] if isinstance(paths, str | Path | Mapping) else list(paths)
    if not given:
        raise UserError(f"{kind}: no paths are given")
    names = [str(path) for path in given if not isinstance(path, Mapping)]
    for path in names:
        refuse_address(path)
    tars = [_TAR.search(path) is not None for path in names]
    if tars and all(tars) and len(names) == len(given):
        return TarShards(names, kind, buffer)
    if any(tars):
        raise UserError(f"{kind}: tar shards and other files cannot be mixed in one stream: make a stream of each")
    if kind == "images":
        parts = [_open_images(path) for path in given]
        return parts[0] if len(parts) == 1 else JoinedRecords(parts)
    if len(names) < len(given):
        raise UserError(f"{kind}: paths must be files, and dict(list=..., folder=...) is for images only")
    return TextFiles(names) if kind == "texts" else PairFiles(names)


def _open_images(path: ImagePath) -> Indexed:
    if isinstance(path, Mapping):
        if set(path) != {"list", "folder"}:
            raise UserError(f"images: a list in another folder is dict(list=FILE, folder=FOLDER), got {dict(path)}")
        return ImageList(path["list"], path["folder"])
    return ImageList(path) if Path(path).suffix.lower() in LIST_SUFFIXES and not Path(path).is_dir() else ImageFolder(path)
