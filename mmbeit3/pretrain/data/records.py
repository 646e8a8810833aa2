"""What ``RecordSource`` reads from, and the choice of it by kind and name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data.local import ImageFolder, PairFiles, TextFiles
from mmbeit3.pretrain.data.shards import TarShards
from mmbeit3.pretrain.data.types import KINDS, Entry, Place, refuse_address

__all__ = ["Records", "open_records"]

# Also at the end of a brace: {a,b}.tar, {a.tar,b.tar} and a.{tar,tgz}.
_TAR = re.compile(r"[.{,](tar|tgz|tar\.(gz|bz2|xz))\}*$", re.IGNORECASE)


class Records(Protocol):
    """All records of a data set, dealt to readers without overlap and without loss."""

    fingerprint: str
    """Changes when the data does (as far as names and counts tell), so that a position in other data is noticed."""

    def entries(self, place: Place, epoch: int, seed: int, shuffle: bool, start: int) -> Iterator[Entry]:
        """A reader's part of an epoch without its first ``start`` entries; the same for the same arguments."""
        ...


def open_records(kind: str, paths: str | Path | Sequence[str | Path], buffer: int = 1000) -> Records:
    """Records of a kind, from tar shards if the paths end in .tar (or .tgz, .tar.gz, .bz2, .xz), else from local files.

    Args:
        kind: 'images' (a folder), 'texts' (plain text or JSON-lines files) or 'pairs' (JSON-lines files).
        paths: of files, shards (with braces and wildcards), or of one folder.
        buffer: of the shuffling of shards, in records.

    Raises:
        UserError: if the kind is unknown, paths are missing or are addresses, or shards and files are mixed.
    """
    if kind not in KINDS:
        raise UserError(f"kind of records '{kind}' is none of {', '.join(KINDS)}")
    given = [str(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if not given:
        raise UserError(f"no paths of {kind} given")
    for path in given:
        refuse_address(path)
    tars = [_TAR.search(path) is not None for path in given]
    if all(tars):
        return TarShards(given, kind, buffer)
    if any(tars):
        raise UserError(f"{kind}: tar shards and other files cannot be mixed in one source")
    if kind == "images":
        if len(given) > 1:
            raise UserError(f"images: one folder, not {len(given)}: give the folder above them")
        return ImageFolder(given[0])
    return TextFiles(given) if kind == "texts" else PairFiles(given)
