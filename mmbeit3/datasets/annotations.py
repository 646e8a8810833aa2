"""Reading annotation files of the tasks, with one clear line for what they lack."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmbeit3.errors import UserError

__all__ = ["Ids", "check_images", "read_json", "read_json_lines", "take", "take_if_there", "take_text"]


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        UserError: if it is missing, damaged, or holds something else.
    """
    content = _parse(_read(path), f"'{path}'")
    if not isinstance(content, dict):
        raise UserError(f"'{path}' holds a JSON {type(content).__name__}, not an object: is it the right file?")
    return content


def read_json_lines(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read a file with a JSON object a line; blank lines are skipped.

    Yields:
        What to call the line in an error, and its object.

    Raises:
        UserError: if the file is missing, or a line is no object.
    """
    for number, line in enumerate(_read(path).split(b"\n"), start=1):
        if line.strip():
            where = f"'{path}', line {number}"
            content = _parse(line, where)
            if not isinstance(content, dict):
                raise UserError(f"{where} holds a JSON {type(content).__name__}, not an object: is it the right file?")
            yield where, content


def take(entry: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """A field of an entry.

    Args:
        entry: the entry, which should be an object.
        key: name of the field.
        kind: type that its value must have.
        where: file and entry, for the error.

    Raises:
        UserError: if the field is missing or of another type.
    """
    if not isinstance(entry, dict) or key not in entry:
        raise UserError(f"{where} has no '{key}': the file is damaged or of another format")
    kinds = kind if isinstance(kind, tuple) else (kind,)
    # To Python, true and false are numbers.
    if not isinstance(entry[key], kind) or (isinstance(entry[key], bool) and bool not in kinds):
        raise UserError(f"{where}: '{key}' is a {type(entry[key]).__name__}: the file is damaged or of another format")
    return entry[key]


def take_if_there(entry: Mapping[str, Any], key: str, kind: type | tuple[type, ...], where: str, default: Any) -> Any:
    """A field that an entry may lack, see :func:`take`."""
    return take(entry, key, kind, where) if key in entry else default


def take_text(entry: Any, key: str, where: str) -> str:
    """A field of an entry that a model will read, see :func:`take`.

    Raises:
        UserError: also if there is nothing but whitespace in it.
    """
    text: str = take(entry, key, str, where)
    if not text.strip():
        raise UserError(f"{where}: '{key}' is empty ({text[:20]!r}): remove the entry, or complete it")
    return text


class Ids:
    """What must be there only once: entries of one id would be taken for each other, and counted as one.

    Args:
        what: how the id is called.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._found: dict[Any, str] = {}

    def add(self, value: Any, where: str) -> None:
        """Note an id.

        Args:
            value: the id.
            where: file and entry, for the error.

        Raises:
            UserError: if another entry has it.
        """
        if value in self._found:
            raise UserError(
                f"{where}: {self.what} {value!r} is there twice, first at {self._found[value]}: give each entry its own"
            )
        self._found[value] = where


def check_images(images: Iterable[tuple[str, str]]) -> None:
    """Check that images exist, before hours of training meet the first that does not. Each folder is listed only once.

    Args:
        images: pairs of a path and what names it in the annotations. Paths of network backends (with ``://``) are not
            looked at.

    Raises:
        UserError: naming the first that is missing, and how many are.
    """
    listed: dict[Path, set[str]] = {}
    missing: dict[Path, str] = {}
    for name, where in images:
        if "://" in name:
            continue
        path = Path(name)
        if path.parent not in listed:
            listed[path.parent] = _files(path.parent)
        if path.name not in listed[path.parent]:
            missing.setdefault(path, where)
    if missing:
        path, where = next(iter(missing.items()))
        others = f" ({len(missing) - 1} other images are missing, too)" if len(missing) > 1 else ""
        raise UserError(f"{where}: image '{path}' does not exist{others}: set data_root and data_prefix, or complete the data")


def _files(folder: Path) -> set[str]:
    """Names of what a folder holds, but for folders: an empty name in an annotation means the folder itself."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as found:
        return {entry.name for entry in found if not entry.is_dir()}


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"annotation file '{path}' cannot be read: {error.strerror or error}") from error


def _parse(content: bytes, where: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is no JSON ({error}): the file is damaged or of another format") from error
