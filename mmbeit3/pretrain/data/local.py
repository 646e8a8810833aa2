"""Records that lie in files of their own, or in lines of files: any of them can be read by its number."""

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
from mmbeit3.pretrain.data.types import BadRecordError, Entry, Place, Record, refuse_address

__all__ = ["ImageFolder", "PairFiles", "TextFiles"]

_NONE = np.empty(0, np.int64)
Paths = str | Path | Sequence[str | Path]


class _Numbered:
    """Records by number: epochs are permutations of all numbers, of which each reader takes every ``streams``-th.

    The permutation takes 8 bytes a record in every worker; for more than some hundred million records use tar shards.
    """

    fingerprint: str

    def __len__(self) -> int:
        """How many records there are, unusable ones included."""
        raise NotImplementedError

    def entry(self, index: int) -> Entry:
        """The record of that number, not yet read."""
        raise NotImplementedError

    def entries(self, place: Place, epoch: int, seed: int, shuffle: bool, start: int) -> Iterator[Entry]:
        """A reader's part of an epoch.

        Args:
            place: the reader.
            epoch: number of the epoch.
            seed: of the order.
            shuffle: whether to permute.
            start: entries to leave out at the beginning; costs nothing.

        Yields:
            Entries, the same for the same arguments.
        """
        count = len(self)
        order = np.random.default_rng([seed, epoch]).permutation(count) if shuffle else np.arange(count)
        for index in order[place.stream :: place.streams][start:]:
            yield self.entry(int(index))


class ImageFolder(_Numbered):
    """All images of a folder and those below it, by their names' endings; the key is the path from the folder.

    Hidden files are left out and links are followed, see :func:`~mmbeit3.images.walk_files`.

    Args:
        folder: where they are.

    Raises:
        UserError: if there is no such folder or no image in it.
    """

    def __init__(self, folder: str | Path) -> None:
        refuse_address(str(folder))
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"no folder of images '{folder}'")
        names = sorted(name for name in walk_files(self.folder) if is_image_name(name.rpartition("/")[2]))
        if not names:
            raise UserError(f"no image ({', '.join(IMAGE_SUFFIXES)}) in '{folder}' or below it")
        self.fingerprint = f"{len(names)}-{_checksum(names):08x}"
        # One block of memory: workers would copy a list of strings by counting references.
        self._names = np.array([os.fsencode(name) for name in names])

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._names)

    def entry(self, index: int) -> Entry:
        """The image of that number in the order of the names."""
        name = os.fsdecode(self._names[index])
        return Entry(str(self.folder / name), name, partial(self._load, name))

    def _load(self, name: str) -> Record:
        return {"key": name, "image": _read_image(self.folder / name)}


class _Lines(_Numbered):
    """Lines of files that are not blank; the key is the file's name and the line's number from 1.

    Files are read through once to find the lines, of which two numbers each are kept.

    Args:
        paths: one file or several.

    Raises:
        UserError: if a file is missing or all are blank.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        offsets: list[np.ndarray] = [_NONE]
        numbers: list[np.ndarray] = [_NONE]
        for path in self.paths:
            refuse_address(str(path))
            if not path.is_file():
                raise UserError(f"no file '{path}'")
            found: np.ndarray = np.fromiter(_lines(path), np.dtype((np.int64, 2)))
            offsets.append(found[:, 0])
            numbers.append(found[:, 1])
        self._ends = np.cumsum([len(part) for part in offsets[1:]])
        self._offsets, self._numbers = np.concatenate(offsets), np.concatenate(numbers)
        if not len(self._offsets):
            raise UserError(f"no line of text in {', '.join(repr(str(path)) for path in self.paths) or 'no files at all'}")
        names = [f"{path.name} {path.stat().st_size}" for path in self.paths]
        self.fingerprint = f"{len(self._offsets)}-{_checksum(names):08x}"

    def __len__(self) -> int:
        """How many lines there are that are not blank."""
        return len(self._offsets)

    def entry(self, index: int) -> Entry:
        """The line of that number, over all files."""
        path = self.paths[int(np.searchsorted(self._ends, index, side="right"))]
        key = f"{path.name}:{self._numbers[index]}"
        return Entry(str(path), key, partial(self._load, path, int(self._offsets[index]), key))

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
    """Texts, one a line: JSON objects with ``text`` in files that end in .jsonl or .json, else plain. Blank lines are none."""

    def _decode(self, path: Path, line: bytes, key: str) -> Record:
        return {"key": key, "text": text_of(decode_json(line)) if path.suffix in (".jsonl", ".json") else decode_text(line)}


class PairFiles(_Lines):
    """Pairs, one a line: JSON objects with ``image``, a path relative to the file's folder, and ``text``."""

    def _decode(self, path: Path, line: bytes, key: str) -> Record:
        value = decode_json(line)
        name = value.get("image")
        if not isinstance(name, str) or not name or "\0" in name:
            raise BadRecordError("JSON has no 'image' that is a path")
        if Path(name).is_absolute():
            raise BadRecordError(f"image '{name}' is not relative to the file's folder")
        return {"key": key, "image": _read_image(path.parent / name), "text": text_of(value)}


def _lines(path: Path) -> Iterator[tuple[int, int]]:
    """Byte offset, and number from 1, of each line that is not blank."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield offset, number
            offset += len(line)


def _read_image(path: Path) -> np.ndarray:
    try:
        if not path.is_file():
            raise BadRecordError(f"no image file '{printable(str(path), 4096)}'")
        data = path.read_bytes()
    except OSError as error:
        raise BadRecordError(f"image cannot be read ({error})") from error
    return decode_image(data)


def _checksum(names: Iterable[str]) -> int:
    checksum = 0
    for name in names:
        checksum = zlib.crc32(name.encode("utf-8", "surrogateescape") + b"\0", checksum)
    return checksum
