"""Readers of annotation files. Each error is one line with the file, the entry and the remedy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from mmbeit3.errors import UserError

__all__ = [
    "UniqueIds",
    "check_images_exist",
    "find_missing",
    "get_field",
    "get_optional",
    "get_text",
    "read_json",
    "read_json_lines",
    "read_lines",
    "read_text",
]


_MARK = "\ufeff"
"""Byte-order mark, with which some programs on Windows begin text files."""


def read_json(path: str | Path, strict: bool = False) -> dict[str, Any]:
    """Read a JSON file that contains one object.

    Args:
        path: the file.
        strict: also refuse what Python's parser accepts, but not all libraries read: ``NaN``, ``Infinity``, a byte-order mark,
            and encodings other than UTF-8.

    Raises:
        UserError: if the file is missing, damaged, or contains something else.
    """
    content = _parse(_read_bytes(path), f"'{path}'", strict)
    if not isinstance(content, dict):
        raise UserError(f"'{path}' contains a JSON {type(content).__name__}, not an object: check that it is the right file")
    return content


def read_json_lines(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read a file with one JSON object per line. Blank lines are skipped.

    Yields:
        The file and line number, for error messages, and the object.

    Raises:
        UserError: if the file is missing, or a line is not a JSON object.
    """
    for number, line in enumerate(_read_bytes(path).split(b"\n"), start=1):
        if line.strip():
            where = f"'{path}', line {number}"
            content = _parse(line, where)
            if not isinstance(content, dict):
                raise UserError(
                    f"{where} contains a JSON {type(content).__name__}, not an object: check that it is the right file"
                )
            yield where, content


def read_text(path: str | Path, what: str, marked: bool = False) -> str:
    """Read a UTF-8 text file.

    Args:
        path: the file.
        what: what the file is for; begins the error message.
        marked: accept a byte-order mark, and leave it out. Other libraries would read it as the first letter of the file, so
            only a file that they do not read may have one.

    Raises:
        UserError: if the file cannot be read, is not UTF-8, or has a byte-order mark that is not accepted.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{what} '{path}' cannot be read ({error}): give a UTF-8 text file") from error
    if text.startswith(_MARK) and not marked:
        raise UserError(f"{what} '{path}' begins with a byte-order mark: save the file as UTF-8 without one")
    return text.removeprefix(_MARK)


def read_lines(path: str | Path, what: str, marked: bool = False) -> list[str]:
    """Read the lines of a UTF-8 text file, without blank ones and without spaces around them, see :func:`read_text`."""
    return [line.strip() for line in read_text(path, what, marked).splitlines() if line.strip()]


def get_field(entry: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return a field of an entry.

    Args:
        entry: the entry, which should be a JSON object.
        key: name of the field.
        kind: type or types that the value may have.
        where: file and entry, for the error message.

    Raises:
        UserError: if the field is missing or has another type.
    """
    if not isinstance(entry, dict) or key not in entry:
        raise UserError(f"{where} has no '{key}': the file is damaged or has another format")
    kinds = kind if isinstance(kind, tuple) else (kind,)
    # In Python bool is a subclass of int.
    if not isinstance(entry[key], kind) or (isinstance(entry[key], bool) and bool not in kinds):
        raise UserError(f"{where}: '{key}' has the type {type(entry[key]).__name__}: the file is damaged or has another format")
    return entry[key]


def get_optional(entry: Mapping[str, Any], key: str, kind: type | tuple[type, ...], where: str, default: Any) -> Any:
    """Return a field of an entry like :func:`get_field`, or ``default`` if the entry does not have the field."""
    return get_field(entry, key, kind, where) if key in entry else default


def get_text(entry: Any, key: str, where: str) -> str:
    """Return a text field of an entry that a model will read, see :func:`get_field`.

    Raises:
        UserError: also if the text is empty or only whitespace.
    """
    text: str = get_field(entry, key, str, where)
    if not text.strip():
        raise UserError(f"{where}: '{key}' is empty ({text[:20]!r}): remove the entry, or fill in the text")
    return text


class UniqueIds:
    """A check that ids are unique. Entries with the same id would be confused, and counted as one.

    Args:
        what: name of the id, for the error message.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._found: dict[Any, str] = {}

    def add(self, value: Any, where: str) -> None:
        """Add an id.

        Args:
            value: the id.
            where: file and entry, for the error message.

        Raises:
            UserError: if another entry has the same id.
        """
        if value in self._found:
            raise UserError(
                f"{where}: {self.what} {value!r} is used twice, first in {self._found[value]}: give each entry a unique one"
            )
        self._found[value] = where


def check_images_exist(images: Iterable[tuple[str, str]]) -> None:
    """Check that image files exist, so that a missing one does not stop the training after hours.

    Args:
        images: pairs of a path, and the file and entry that name it. Paths of network backends (with ``://``) are skipped.

    Raises:
        UserError: naming the first missing image, and how many are missing.
    """
    entries: dict[str, str] = {}
    for path, where in images:
        if "://" not in path:
            entries.setdefault(path, where)
    if missing := find_missing(entries):
        others = f" ({len(missing) - 1} other images are missing, too)" if len(missing) > 1 else ""
        raise UserError(
            f"{entries[missing[0]]}: image '{Path(missing[0])}' does not exist{others}: set data_root and data_prefix, or add "
            "the missing files"
        )


def find_missing(paths: Iterable[str]) -> list[str]:
    """Return the paths that are not existing files. Each folder is listed only once, which is fast for many files.

    A folder is not a file: an empty file name in an annotation would name the folder itself.
    """
    listed: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, slash, name = path.rpartition("/")
        if (folder := folder or slash) not in listed:
            listed[folder] = _list_files(folder or ".")
        if name not in listed[folder]:
            missing.append(path)
    return missing


def _list_files(folder: str) -> set[str]:
    if not os.path.isdir(folder):  # noqa: PTH112
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if not entry.is_dir()}


def _read_bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"annotation file '{path}' cannot be read: {error.strerror or error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _parse(content: bytes, where: str, strict: bool = False) -> Any:
    if strict and (encoding := json.detect_encoding(content)) != "utf-8":
        raise UserError(f"{where} is encoded as {encoding.upper()}: save the file as UTF-8 without a byte-order mark")
    try:
        return json.loads(content, parse_constant=_refuse_constant if strict else None)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error}): the file is damaged or has another format") from error
