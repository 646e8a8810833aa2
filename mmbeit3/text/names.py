"""Lists of names, of answers or of classes, from a config or from a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmbeit3.errors import UserError

__all__ = ["read_folders", "read_names"]


def read_names(source: str | Path | Sequence[str], what: str) -> tuple[str, ...]:
    """Read names in the order of their labels.

    Args:
        source: the names, or a UTF-8 file of them, of one of these forms: a name a line, the first for label 0; a JSON list of
            names; as the reference's ``answer2label.txt``, a line ``{"answer": NAME, "label": NUMBER}`` each, in any order; or
            a folder of images, a tab and its class's name a line, in any order: labels count by the folders' alphabetical one.
        what: what is read, for messages.

    Raises:
        UserError: if there are none, the file cannot be read, a name is there twice or, but
            for the reference's form, blank, a line cannot be understood, or
            labels don't count from 0 up.
    """
    if not isinstance(source, (str, Path)):
        names = tuple(map(str, source))
        _check(names, what, "name")
        return names
    where = f"{what} '{source}'"
    lines = _read(source, what)
    if lines[0].startswith("["):
        names = _parse_list("\n".join(lines), where)
        _check(names, where, "name")
        return names
    for number, line in enumerate(lines, start=1):
        if not line:
            raise UserError(f"{where}: line {number} is empty, so that later labels would shift: remove it")
    if (pairs := _pairs(lines, where)) is not None:
        return tuple(name for _, name in pairs)
    if not lines[0].startswith("{"):
        _check(lines, where, "line")
        return tuple(lines)
    by_label = dict(_parse(line, number, where) for number, line in enumerate(lines, start=1))
    if sorted(by_label) != list(range(len(lines))):
        raise UserError(f"{where}: labels must be 0 to {len(lines) - 1}, each once, for its {len(lines)} lines")
    names = tuple(by_label[label] for label in range(len(lines)))
    # An answer that is an article alone is empty in VQA's normal form, and one of the released models' 3129.
    _check(names, where, "label", first=0, blank=True)
    return names


def read_folders(source: str | Path | Sequence[str]) -> tuple[str, ...] | None:
    """The folders that a file of names states, in the order of their labels; None if it states none.

    Raises:
        UserError: see :func:`read_names`.
    """
    if not isinstance(source, (str, Path)):
        return None
    pairs = _pairs(_read(source, "class_names"), f"class_names '{source}'")
    return None if pairs is None else tuple(folder for folder, _ in pairs)


def _read(source: str | Path, what: str) -> list[str]:
    try:
        # Editors of some systems put a byte-order mark before a text; it is no part of the first name.
        text = Path(source).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UserError(f"{what} '{source}' cannot be read ({reason}): give a file with a name a line") from error
    return [line.strip() for line in text.rstrip().split("\n")]


def _pairs(lines: Sequence[str], where: str) -> list[tuple[str, str]] | None:
    """Folders and names, if lines are of both."""
    if not any("\t" in line for line in lines):
        return None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        folder, _, name = (part.strip() for part in line.partition("\t"))
        if not folder or not name or "\t" in name:
            raise UserError(f"{where}: line {number} is no folder, tab and name, as other lines are")
        if folder in found:
            raise UserError(f"{where}: line {number}: folder '{folder}' is there twice: give each once")
        found[folder] = name
    return sorted(found.items())


def _parse(line: str, number: int, where: str) -> tuple[int, str]:
    try:
        entry: Any = json.loads(line)
    except json.JSONDecodeError:
        entry = None
    if not isinstance(entry, dict) or not isinstance(entry.get("answer"), str) or type(entry.get("label")) is not int:
        raise UserError(f'{where}: line {number} must be like {{"answer": "yes", "label": 0}}')
    return entry["label"], entry["answer"]


def _parse_list(text: str, where: str) -> tuple[str, ...]:
    try:
        names: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where} begins as a JSON list and is none ({error}): give a name a line, or a list of names"
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where} is a JSON list, but not of names: give a list of texts")
    return tuple(names)


def _check(names: Sequence[str], where: str, what: str, first: int = 1, blank: bool = False) -> None:
    """Refuse lists without names, with blank ones and with the same twice: labels would shift, or one never be given."""
    if not names:
        raise UserError(f"{where}: the list is empty, give at least one name or a file of names")
    places: dict[str, int] = {}
    for place, name in enumerate(names, start=first):
        if not name.strip() and not blank:
            raise UserError(f"{where}: {what} {place} is blank: remove it, or give the name")
        if name in places:
            raise UserError(f"{where}: '{name}' is there twice ({what} {places[name]} and {place}): give each name once")
        places[name] = place
