"""Lists of class names or answers, from a config or from a file."""

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
        source: the names, or a UTF-8 file of them in one of these forms:

            * one name per line, the first for label 0;
            * a JSON list of names;
            * one JSON object per line, ``{"answer": NAME, "label": NUMBER}``, in any order, like ``answer2label.txt`` of the
              official code;
            * one ``FOLDER<tab>NAME`` per line, in any order: the alphabetical order of the image folders gives the labels.
        what: what the names are, for messages.

    Returns:
        The names, that of label 0 first.

    Raises:
        UserError: if there are no names, the file cannot be read, a line cannot be parsed, a name occurs twice, a name is blank
            (allowed only in the form with ``answer``), or the labels are not 0, 1, 2, …
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
            raise UserError(f"{where}: line {number} is empty, which would shift the labels of later lines: remove it")
    if (pairs := _pairs(lines, where)) is not None:
        return tuple(name for _, name in pairs)
    if not lines[0].startswith("{"):
        _check(lines, where, "line")
        return tuple(lines)
    by_label = dict(_parse(line, number, where) for number, line in enumerate(lines, start=1))
    if sorted(by_label) != list(range(len(lines))):
        raise UserError(f"{where}: the labels of its {len(lines)} lines must be 0 to {len(lines) - 1}, each once")
    names = tuple(by_label[label] for label in range(len(lines)))
    # The released 3129 answers contain an empty one: VQA's normalisation removes articles, also from an answer of one article.
    _check(names, where, "label", first=0, blank=True)
    return names


def read_folders(source: str | Path | Sequence[str]) -> tuple[str, ...] | None:
    """Return the image folders in a file of ``FOLDER<tab>NAME`` lines, in the order of their labels; None for other forms.

    Raises:
        UserError: see :func:`read_names`.
    """
    if not isinstance(source, (str, Path)):
        return None
    pairs = _pairs(_read(source, "class_names"), f"class_names '{source}'")
    return None if pairs is None else tuple(folder for folder, _ in pairs)


def _read(source: str | Path, what: str) -> list[str]:
    try:
        # Some editors write a byte-order mark at the start; utf-8-sig removes it from the first name.
        text = Path(source).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UserError(f"{what} '{source}' cannot be read ({reason}): give a file with one name per line") from error
    return [line.strip() for line in text.rstrip().split("\n")]


def _pairs(lines: Sequence[str], where: str) -> list[tuple[str, str]] | None:
    """Parse ``FOLDER<tab>NAME`` lines to pairs sorted by folder; None if no line has a tab."""
    if not any("\t" in line for line in lines):
        return None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        folder, _, name = (part.strip() for part in line.partition("\t"))
        if not folder or not name or "\t" in name:
            raise UserError(f"{where}: line {number} is not 'FOLDER<tab>NAME' like other lines: correct it")
        if folder in found:
            raise UserError(f"{where}: line {number}: folder '{folder}' occurs twice: give each folder once")
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
            f"{where} begins like a JSON list but is not valid JSON ({error}): give one name per line, or a list of names"
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where} is a JSON list, but not of strings: give a list of names")
    return tuple(names)


def _check(names: Sequence[str], where: str, what: str, first: int = 1, blank: bool = False) -> None:
    """Refuse empty lists, blank names (they shift labels) and repeated names (their second label is never predicted)."""
    if not names:
        raise UserError(f"{where}: the list is empty: give at least one name, or a file of names")
    positions: dict[str, int] = {}
    for position, name in enumerate(names, start=first):
        if not name.strip() and not blank:
            raise UserError(f"{where}: {what} {position} is blank: remove it, or give the name")
        if name in positions:
            raise UserError(f"{where}: '{name}' occurs twice ({what} {positions[name]} and {position}): give each name once")
        positions[name] = position
