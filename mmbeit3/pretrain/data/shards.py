"""Records in WebDataset's tar shards, read in sequence and in memory: nothing is unpacked, unpickled or executed."""

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
from mmbeit3.pretrain.data.types import KINDS, BadRecordError, Entry, Place, Record, refuse_address

__all__ = ["TarShards"]

_NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
"""Key and suffix of a member: the file's name is cut at its first dot."""
_META = re.compile(r"__[^/]*__(/|$)")
"""WebDataset's own members."""


class TarShards:
    """Tar shards as WebDataset has them: members ``key.jpg`` (or another image's ending) and ``key.txt`` or ``key.json``.

    A JSON member is an object with ``text`` or ``caption``; other members, pickles among them, are never looked into.
    Shards are permuted each epoch and dealt to the readers; where there are fewer shards than readers, several share one
    and take turns by record. Readers may get unequal numbers of records, so that training on several ranks wants endless
    reading. A buffer of undecoded records then shuffles each reader's part.

    Args:
        paths: local paths with brace expansion and wildcards, as ``train-{0000..0099}.tar`` or ``train-*.tar``.
        kind: 'images', 'texts' or 'pairs'; what else a record has is left out.
        buffer: records in the shuffle buffer; their bytes are held in memory by each worker.

    Raises:
        UserError: if the library is missing, a path is an address, a shard is missing, or there are none.
        ValueError: if the kind is unknown or the buffer has no place.
    """

    def __init__(self, paths: str | Path | Sequence[str | Path], kind: str, buffer: int = 1000) -> None:
        if kind not in KINDS or buffer < 1:
            raise ValueError(f"TarShards: kind '{kind}' must be one of {', '.join(KINDS)}, and buffer {buffer} at least 1")
        self.paths = _expand([paths] if isinstance(paths, str | Path) else paths)
        self.kind, self.buffer = kind, buffer
        names = "\0".join(Path(path).name for path in self.paths)
        self.fingerprint = f"{len(self.paths)}-{zlib.crc32(names.encode('utf-8', 'surrogateescape')):08x}-{buffer}"

    def entries(self, place: Place, epoch: int, seed: int, shuffle: bool, start: int) -> Iterator[Entry]:
        """A reader's part of an epoch.

        Args:
            place: the reader.
            epoch: number of the epoch.
            seed: of the order.
            shuffle: whether to permute shards and shuffle in the buffer.
            start: entries to leave out at the beginning. They are read again, though not decoded, so that the buffer is
                as it was: exact, at the cost of reading that much of the shards.

        Yields:
            Entries, the same for the same arguments. Every fault of the archive itself, see
            :func:`~mmbeit3.pretrain.data.tar.read_members`, is an entry that cannot be loaded.
        """
        order = np.random.default_rng([seed, epoch]).permutation(len(self.paths)) if shuffle else range(len(self.paths))
        shards = [self.paths[int(index)] for index in order]
        entries = self._dealt(shards, place)
        if shuffle:
            entries = _shuffled(entries, self.buffer, np.random.default_rng([seed, epoch, place.stream]))
        for position, entry in enumerate(entries):
            if position >= start:
                yield entry

    def _dealt(self, shards: list[str], place: Place) -> Iterator[Entry]:
        if len(shards) >= place.streams:
            for shard in shards[place.stream :: place.streams]:
                yield from self._read(shard)
            return
        number = place.stream % len(shards)
        sharing = range(number, place.streams, len(shards))
        turn = sharing.index(place.stream)
        for index, entry in enumerate(self._read(shards[number])):
            if index % len(sharing) == turn:
                yield entry

    def _read(self, shard: str) -> Iterator[Entry]:
        """All records of a shard, and one entry for every fault of the archive."""
        # The stream is opened here, not by a library, whose opener would run commands for some addresses.
        try:
            file = Path(shard).open("rb")  # noqa: SIM115
        except OSError as error:
            yield Entry(shard, "(archive)", partial(_fail, f"cannot be opened ({error})"))
            return
        with file:
            try:
                for part in _grouped(read_members(file)):
                    if isinstance(part, Fault):
                        yield Entry(shard, "(archive)", partial(_fail, part.reason))
                    else:
                        yield Entry(shard, str(part["__key__"]), partial(_record, part, self.kind))
            except OSError as error:
                yield Entry(shard, "(archive)", partial(_fail, f"cannot be read on ({error})"))


def _grouped(parts: Iterable[Member | Fault]) -> Iterator[dict[str, Any] | Fault]:
    """Put neighbours of one key together, as WebDataset does; faults come where they are noticed."""
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
            yield Fault(f"duplicate file name '{part.name}': the first is taken")
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
            raise BadRecordError(f"no image among its members ({_members(sample)})")
        record["image"] = decode_image(data)
    if has_text:
        if "txt" in sample:
            record["text"] = decode_text(sample["txt"])
        elif "json" in sample:
            record["text"] = text_of(decode_json(sample["json"]), ("text", "caption"))
        else:
            raise BadRecordError(f"no txt or json among its members ({_members(sample)})")
    return record


def _members(sample: dict[str, Any]) -> str:
    return ", ".join(name for name in sample if not name.startswith("__"))


def _fail(reason: str) -> Record:
    raise BadRecordError(f"damaged archive ({reason})")


def _shuffled(entries: Iterable[Entry], size: int, rng: np.random.Generator) -> Iterator[Entry]:
    """Keep ``size`` in hand and give a random one of them for each that comes in; at the end the rest in random order."""
    held: list[Entry] = []
    for entry in entries:
        if len(held) < size:
            held.append(entry)
            continue
        index = int(rng.integers(size))
        yield held[index]
        held[index] = entry
    for index in rng.permutation(len(held)):
        yield held[int(index)]


def _expand(patterns: Sequence[str | Path]) -> list[str]:
    """Paths of shards, sorted within a wildcard, each once."""
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
            # Path.glob takes no absolute patterns.
            found_here = [path] if Path(path).is_file() else sorted(glob.glob(path))  # noqa: PTH207
            matches = [name for name in found_here if Path(name).is_file()]
            if not matches:
                raise UserError(f"no tar shard '{path}'")
            found.extend(matches)
    if not found:
        raise UserError("no tar shards given")
    return list(dict.fromkeys(found))
