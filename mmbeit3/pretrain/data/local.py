"""Records stored as image files or as lines of text files, with random access by index."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmbeit3.errors import UserError, printable
from mmbeit3.images import IMAGE_SUFFIXES, walk_files
from mmbeit3.images.folders import is_image_name
from mmbeit3.pretrain.data.decode import decode_image, decode_json, decode_text, text_of
from mmbeit3.pretrain.data.types import BadRecordError, LazyRecord, Reader, Record, refuse_address

__all__ = ["ImageFolder", "PairFiles", "TextFiles"]

_NONE = np.empty(0, np.int64)
Paths = str | Path | Sequence[str | Path]


class _Indexed:
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


class ImageFolder(_Indexed):
    """All image files of a folder and its subfolders, found by suffix. The key is the path relative to the folder.

    Hidden files are skipped and links are followed, see :func:`~mmbeit3.images.walk_files`.

    Args:
        folder: path of the folder.

    Raises:
        UserError: if the folder does not exist or contains no image.
    """

    def __init__(self, folder: str | Path) -> None:
        refuse_address(str(folder))
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"image folder '{folder}' does not exist: check the path")
        names = sorted(name for name in walk_files(self.folder) if is_image_name(name.rpartition("/")[2]))
        if not names:
            raise UserError(f"no image ({', '.join(IMAGE_SUFFIXES)}) in '{folder}' or its subfolders: check the path")
        self.fingerprint = f"{len(names)}-{_checksum(names):08x}"
        # One NumPy array: reading a list of strings changes their reference counts, so forked workers would copy its memory.
        self._names = np.array([os.fsencode(name) for name in names])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._names)

    def record_at(self, index: int) -> LazyRecord:
        """Return the image at an index in the order of the sorted names, without reading it."""
        name = os.fsdecode(self._names[index])
        return LazyRecord(str(self.folder / name), name, partial(self._load, name))

    def _load(self, name: str) -> Record:
        return {"key": name, "image": _read_image(self.folder / name)}


class _Lines(_Indexed):
    """Non-blank lines of files. The key is the file name and the line number, from 1.

    Each file is read once at the start. Byte offset and line number are kept for each line.

    Args:
        paths: one file or several.

    Raises:
        UserError: if a file does not exist or all files are blank.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        offsets: list[np.ndarray] = [_NONE]
        numbers: list[np.ndarray] = [_NONE]
        for path in self.paths:
            refuse_address(str(path))
            if not path.is_file():
                raise UserError(f"file '{path}' does not exist: check the path")
            found: np.ndarray = np.fromiter(_lines(path), np.dtype((np.int64, 2)))
            offsets.append(found[:, 0])
            numbers.append(found[:, 1])
        self._ends = np.cumsum([len(part) for part in offsets[1:]])
        self._offsets, self._numbers = np.concatenate(offsets), np.concatenate(numbers)
        if not len(self._offsets):
            listed = ", ".join(repr(str(path)) for path in self.paths)
            raise UserError(
                f"no line of text in {listed}: give files that are not blank" if listed else "no text files are given"
            )
        names = [f"{path.name} {path.stat().st_size}" for path in self.paths]
        self.fingerprint = f"{len(self._offsets)}-{_checksum(names):08x}"

    def __len__(self) -> int:
        """Return the number of non-blank lines of all files."""
        return len(self._offsets)

    def record_at(self, index: int) -> LazyRecord:
        """Return the line at an index over all files, without reading it."""
        # _ends are the files' cumulative numbers of lines: the first one above the index is the line's file.
        path = self.paths[int(np.searchsorted(self._ends, index, side="right"))]
        key = f"{path.name}:{self._numbers[index]}"
        return LazyRecord(str(path), key, partial(self._load, path, int(self._offsets[index]), key))

    def _load(self, path: Path, offset: int, key: str) -> Record:
        try:
            with path.open("rb") as file:
                file.seek(offset)
                line = file.readline()
        except OSError as error:
            raise BadRecordError(f"cannot be read ({error})") from error
        return self._decode(path, line, key)

    def _decode(self, path: Path, line: bytes, key: str) -> Record:
        raise NotImplementedError


class TextFiles(_Lines):
    """Texts, one per line: JSON objects with ``text`` in .jsonl and .json files, plain text in others. Skips blank lines."""

    def _decode(self, path: Path, line: bytes, key: str) -> Record:
        return {"key": key, "text": text_of(decode_json(line)) if path.suffix in (".jsonl", ".json") else decode_text(line)}


class PairFiles(_Lines):
    """Pairs, one per line: JSON objects with ``image``, a path relative to the file's folder, and ``text``."""

    def _decode(self, path: Path, line: bytes, key: str) -> Record:
        value = decode_json(line)
        name = value.get("image")
        if not isinstance(name, str) or not name or "\0" in name:
            raise BadRecordError("JSON key 'image' is missing or is not a path")
        if Path(name).is_absolute():
            raise BadRecordError(f"image '{name}' is an absolute path: give it relative to the file's folder")
        return {"key": key, "image": _read_image(path.parent / name), "text": text_of(value)}


def _lines(path: Path) -> Iterator[tuple[int, int]]:
    """Yield byte offset and line number, from 1, of each non-blank line."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield offset, number
            offset += len(line)


def _read_image(path: Path) -> np.ndarray:
    try:
        if not path.is_file():
            raise BadRecordError(f"image file '{printable(str(path), 4096)}' does not exist")
        data = path.read_bytes()
    except OSError as error:
        raise BadRecordError(f"image cannot be read ({error})") from error
    return decode_image(data)


def _checksum(names: Iterable[str]) -> int:
    checksum = 0
    for name in names:
        checksum = zlib.crc32(name.encode("utf-8", "surrogateescape") + b"\0", checksum)
    return checksum
