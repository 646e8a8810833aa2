"""Records with random access by index: their order in an epoch, several collections as one, and what they share."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mmbeit3.errors import printable
from mmbeit3.pretrain.data.decode import decode_image
from mmbeit3.pretrain.data.types import BadRecordError, LazyRecord, Reader

__all__ = ["Indexed", "JoinedRecords", "checksum", "read_image"]


class Indexed:
    """Records with an index. An epoch is a permutation of all indices; reader i of n takes every n-th, from the i-th on.

    The permutation takes 8 bytes per record in every worker. Use tar shards for more than a few hundred million records.
    """

    fingerprint: str

    def __len__(self) -> int:
        """Return the number of records, unusable ones included."""
        raise NotImplementedError

    def record_at(self, index: int) -> LazyRecord:
        """Return the record at an index without reading it."""
        raise NotImplementedError

    def read_epoch(self, reader: Reader, epoch: int, seed: int, shuffle: bool, start: int) -> Iterator[LazyRecord]:
        """Yield a reader's part of an epoch.

        Args:
            reader: one of the readers that share the records.
            epoch: number of the epoch, from 0.
            seed: seed of the order.
            shuffle: True to permute the records.
            start: number of records to skip at the beginning; skipping reads nothing.

        Yields:
            Records that are not decoded yet. The order depends on the arguments only.
        """
        count = len(self)
        order = np.random.default_rng([seed, epoch]).permutation(count) if shuffle else np.arange(count)
        for index in order[reader.index :: reader.count][start:]:
            yield self.record_at(int(index))


class JoinedRecords(Indexed):
    """Several indexed collections one after another, shuffled as one.

    Args:
        parts: the collections, at least one.
    """

    def __init__(self, parts: Sequence[Indexed]) -> None:
        self.parts = list(parts)
        self.fingerprint = "+".join(part.fingerprint for part in self.parts)
        self._ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        """Return the number of records of all parts."""
        return int(self._ends[-1])

    def record_at(self, index: int) -> LazyRecord:
        """Return the record at an index over all parts, without reading it."""
        number = int(np.searchsorted(self._ends, index, side="right"))
        return self.parts[number].record_at(index - int(self._ends[number]) + len(self.parts[number]))


def read_image(path: Path) -> np.ndarray:
    """Read and decode an image file to RGB, uint8 (H, W, 3).

    Raises:
        BadRecordError: if the file does not exist, or is not an image.
    """
    try:
        if not path.is_file():
            raise BadRecordError(f"image file '{printable(str(path), 4096)}' does not exist")
        data = path.read_bytes()
    except OSError as error:
        raise BadRecordError(f"image cannot be read ({error})") from error
    return decode_image(data)


def checksum(names: Iterable[str]) -> int:
    """Return a CRC-32 of names in their order."""
    value = 0
    for name in names:
        value = zlib.crc32(name.encode("utf-8", "surrogateescape") + b"\0", value)
    return value
