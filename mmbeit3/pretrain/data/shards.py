"""Records in WebDataset tar shards, read sequentially in memory. Nothing is extracted to disk, unpickled or executed."""

from __future__ import annotations

import glob
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmbeit3.errors import UserError
from mmbeit3.images import IMAGE_SUFFIXES
from mmbeit3.pretrain.data.decode import decode_image, decode_json, decode_text, text_of
from mmbeit3.pretrain.data.tar import Fault, Member, read_members
from mmbeit3.pretrain.data.types import KINDS, BadRecordError, LazyRecord, Reader, Record, refuse_address

__all__ = ["TarShards"]

_NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
"""Key and suffix of a member: the file name is split at its first dot, as in WebDataset."""
_META = re.compile(r"__[^/]*__(/|$)")
"""WebDataset's own metadata members, which are not records."""


class TarShards:
    """WebDataset tar shards with members ``key.jpg`` (or another image suffix) and ``key.txt`` or ``key.json``.

    A JSON member is an object with ``text`` or ``caption``. Other members, such as pickles, are never decoded.
    Shards are permuted in each epoch and split between the readers. If there are fewer shards than readers, several readers
    share a shard and take its records in turn. Readers may get unequal numbers of records, so training on several ranks needs
    endless reading. A buffer of undecoded records shuffles each reader's part.

    Args:
        paths: local paths with brace expansion and wildcards, such as ``train-{0000..0099}.tar`` or ``train-*.tar``.
        kind: 'images', 'texts' or 'pairs'; other parts of a record are ignored.
        buffer: number of records in the shuffle buffer; each worker holds their bytes in memory.

    Raises:
        UserError: if braceexpand is not installed, a path is an address, a shard does not exist, or no shard is given.
        ValueError: if the kind is unknown or ``buffer`` is below 1.
    """

    def __init__(self, paths: str | Path | Sequence[str | Path], kind: str, buffer: int = 1000) -> None:
        if kind not in KINDS or buffer < 1:
            raise ValueError(f"TarShards: kind '{kind}' must be one of {', '.join(KINDS)}, and buffer {buffer} at least 1")
        self.paths = _expand([paths] if isinstance(paths, str | Path) else paths)
        self.kind, self.buffer = kind, buffer
        names = "\0".join(Path(path).name for path in self.paths)
        self.fingerprint = f"{len(self.paths)}-{zlib.crc32(names.encode('utf-8', 'surrogateescape')):08x}-{buffer}"

    def read_epoch(self, reader: Reader, epoch: int, seed: int, shuffle: bool, start: int) -> Iterator[LazyRecord]:
        """Yield a reader's part of an epoch.

        Args:
            reader: one of the readers that share the records.
            epoch: number of the epoch, from 0.
            seed: seed of the order.
            shuffle: True to permute the shards and shuffle records in the buffer.
            start: number of records to skip at the beginning. They are read again but not decoded, which restores the exact
                state of the shuffle buffer.

        Yields:
            Records that are not decoded yet. The order depends on the arguments only. Every fault of an archive, see
            :func:`~mmbeit3.pretrain.data.tar.read_members`, is yielded as a record whose ``load`` fails.
        """
        order = np.random.default_rng([seed, epoch]).permutation(len(self.paths)) if shuffle else range(len(self.paths))
        shards = [self.paths[int(index)] for index in order]
        records = self._read_part(shards, reader)
        if shuffle:
            records = _shuffled(records, self.buffer, np.random.default_rng([seed, epoch, reader.index]))
        for position, record in enumerate(records):
            if position >= start:
                yield record

    def _read_part(self, shards: list[str], reader: Reader) -> Iterator[LazyRecord]:
        """Yield the records of one reader: those of whole shards, or every n-th record of a shard that n readers share."""
        if len(shards) >= reader.count:
            for shard in shards[reader.index :: reader.count]:
                yield from self._read(shard)
            return
        number = reader.index % len(shards)
        sharing = range(number, reader.count, len(shards))
        turn = sharing.index(reader.index)
        for index, record in enumerate(self._read(shards[number])):
            if index % len(sharing) == turn:
                yield record

    def _read(self, shard: str) -> Iterator[LazyRecord]:
        """Yield all records of a shard, and a record that cannot be loaded for each fault of the archive."""
        # Not opened by webdataset: its opener runs commands for pipe: addresses.
        try:
            file = Path(shard).open("rb")  # noqa: SIM115
        except OSError as error:
            yield LazyRecord(shard, "(archive)", partial(_fail, f"cannot be opened ({error})"))
            return
        with file:
            try:
                for part in _grouped(read_members(file)):
                    if isinstance(part, Fault):
                        yield LazyRecord(shard, "(archive)", partial(_fail, part.reason))
                    else:
                        yield LazyRecord(shard, str(part["__key__"]), partial(_record, part, self.kind))
            except OSError as error:
                yield LazyRecord(shard, "(archive)", partial(_fail, f"cannot be read further ({error})"))


def _grouped(parts: Iterable[Member | Fault]) -> Iterator[dict[str, Any] | Fault]:
    """Group neighbouring members with the same key into a sample, as WebDataset does. Faults are passed on at once."""
    sample: dict[str, Any] | None = None
    for part in parts:
        if isinstance(part, Fault):
            yield part
            continue
        match = _NAME.fullmatch(part.name)
        if match is None or _META.match(part.name) or match[2].startswith("__"):
            continue
        key, suffix = match[1], match[2].lower()
        if sample is not None and key == sample["__key__"] and suffix in sample:
            yield Fault(f"duplicate file name '{part.name}': the first one is used")
            continue
        if sample is None or key != sample["__key__"]:
            if sample is not None:
                yield sample
            sample = {"__key__": key}
        sample[suffix] = part.data
    if sample is not None:
        yield sample


def _record(sample: dict[str, Any], kind: str) -> Record:
    has_image, has_text = KINDS[kind]
    record: Record = {"key": str(sample["__key__"])}
    if has_image:
        data = next((sample[suffix[1:]] for suffix in IMAGE_SUFFIXES if suffix[1:] in sample), None)
        if data is None:
            raise BadRecordError(f"no image among the record's members ({_members(sample)})")
        record["image"] = decode_image(data)
    if has_text:
        if "txt" in sample:
            record["text"] = decode_text(sample["txt"])
        elif "json" in sample:
            record["text"] = text_of(decode_json(sample["json"]), ("text", "caption"))
        else:
            raise BadRecordError(f"no txt or json among the record's members ({_members(sample)})")
    return record


def _members(sample: dict[str, Any]) -> str:
    return ", ".join(name for name in sample if not name.startswith("__"))


def _fail(reason: str) -> Record:
    raise BadRecordError(f"damaged archive ({reason})")


def _shuffled(records: Iterable[LazyRecord], size: int, rng: np.random.Generator) -> Iterator[LazyRecord]:
    """Shuffle through a buffer of ``size`` records: each new record replaces a random one, which is yielded."""
    buffer: list[LazyRecord] = []
    for record in records:
        if len(buffer) < size:
            buffer.append(record)
            continue
        index = int(rng.integers(size))
        yield buffer[index]
        buffer[index] = record
    for index in rng.permutation(len(buffer)):
        yield buffer[int(index)]


def _expand(patterns: Sequence[str | Path]) -> list[str]:
    """Expand braces and wildcards to paths of shards without duplicates; the matches of a wildcard are sorted."""
    try:
        from braceexpand import braceexpand
    except ImportError as error:
        raise UserError(
            f"tar shards need braceexpand, which comes with webdataset ({error}): pip install 'mmbeit3[pretrain]'"
        ) from error
    found: list[str] = []
    for pattern in map(str, patterns):
        refuse_address(pattern)
        try:
            paths = list(braceexpand(pattern))
        except ValueError as error:
            raise UserError(f"shards '{pattern}': {error}") from error
        for path in paths:
            refuse_address(path)
            # Path.glob does not accept absolute patterns.
            candidates = [path] if Path(path).is_file() else sorted(glob.glob(path))  # noqa: PTH207
            matches = [name for name in candidates if Path(name).is_file()]
            if not matches:
                raise UserError(f"no tar shard matches '{path}': check the path")
            found.extend(matches)
    if not found:
        raise UserError("no tar shards are given")
    return list(dict.fromkeys(found))
