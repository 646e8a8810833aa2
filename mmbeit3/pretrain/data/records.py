"""The protocol of record collections, and the function that opens one by kind and path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data.local import ImageFolder, PairFiles, TextFiles
from mmbeit3.pretrain.data.shards import TarShards
from mmbeit3.pretrain.data.types import KINDS, LazyRecord, Reader, refuse_address

__all__ = ["Records", "open_records"]

# Also matches endings inside braces: {a,b}.tar, {a.tar,b.tar} and a.{tar,tgz}.
_TAR = re.compile(r"[.{,](tar|tgz|tar\.(gz|bz2|xz))\}*$", re.IGNORECASE)


class Records(Protocol):
    """All records of a data set, split between readers without overlap or loss."""

    fingerprint: str
    """Changes with the names and numbers of files or records, so that resuming with other data is detected."""

    def read_epoch(self, reader: Reader, epoch: int, seed: int, shuffle: bool, start: int) -> Iterator[LazyRecord]:
        """Yield a reader's part of an epoch without its first ``start`` records; the order depends on the arguments only."""
        ...


def open_records(kind: str, paths: str | Path | Sequence[str | Path], buffer: int = 1000) -> Records:
    """Open records: tar shards if the paths end in .tar, .tgz, .tar.gz, .tar.bz2 or .tar.xz, else local files.

    Args:
        kind: 'images' (a folder), 'texts' (plain text or JSON-lines files) or 'pairs' (JSON-lines files).
        paths: files, shards (with brace expansion and wildcards), or one folder.
        buffer: number of records in the shuffle buffer of shards.

    Raises:
        UserError: if the kind is unknown, no path is given, a path does not exist or is an address, or shards and files are
            mixed.
    """
    if kind not in KINDS:
        raise UserError(f"unknown kind of records '{kind}': give one of {', '.join(KINDS)}")
    given = [str(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if not given:
        raise UserError(f"{kind}: no paths are given")
    for path in given:
        refuse_address(path)
    tars = [_TAR.search(path) is not None for path in given]
    if all(tars):
        return TarShards(given, kind, buffer)
    if any(tars):
        raise UserError(f"{kind}: tar shards and other files cannot be mixed in one stream: make a stream of each")
    if kind == "images":
        if len(given) > 1:
            raise UserError(f"images: {len(given)} folders are given, but only one is read: give the folder that contains them")
        return ImageFolder(given[0])
    return TextFiles(given) if kind == "texts" else PairFiles(given)
