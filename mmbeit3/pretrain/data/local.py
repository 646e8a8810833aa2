"""Texts and pairs stored as lines of text files, with random access by index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmbeit3.errors import UserError
from mmbeit3.pretrain.data.decode import decode_json, decode_text, text_of
from mmbeit3.pretrain.data.indexed import Indexed, checksum, read_image
from mmbeit3.pretrain.data.types import BadRecordError, LazyRecord, Record, refuse_address

__all__ = ["PairFiles", "TextFiles"]

_NONE = np.empty(0, np.int64)
Paths = str | Path | Sequence[str | Path]


class _Lines(Indexed):
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
        self.fingerprint = f"{len(self._offsets)}-{checksum(names):08x}"

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
        return {"key": key, "image": read_image(path.parent / name), "text": text_of(value)}


def _lines(path: Path) -> Iterator[tuple[int, int]]:
    """Yield byte offset and line number, from 1, of each non-blank line."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield offset, number
            offset += len(line)
