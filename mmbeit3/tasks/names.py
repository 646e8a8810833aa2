"""Lists of names, of answers or of classes, from a config or from a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmbeit3.errors import UserError

__all__ = ["read_names"]


def read_names(source: str | Path | Sequence[str], what: str) -> tuple[str, ...]:
    """Read names in the order of their labels.

    Args:
        source: the names, or a UTF-8 file of them: a name a line, the first for label 0; or, as the reference's
            ``answer2label.txt``, a line ``{"answer": NAME, "label": NUMBER}`` each, in any order.
        what: what is read, for messages.

    Raises:
        UserError: if there are none, the file cannot be read, a line is empty or cannot be understood, or labels don't count
            from 0 up.
    """
    if not isinstance(source, (str, Path)):
        names = tuple(map(str, source))
        if not names:
            raise UserError(f"{what}: the list is empty, give at least one name or a file of names")
        return names
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UserError(f"{what} '{source}' cannot be read ({reason}): give a file with a name a line") from error
    lines = [line.strip() for line in text.rstrip().split("\n")]
    for number, line in enumerate(lines, start=1):
        if not line:
            raise UserError(f"{what} '{source}': line {number} is empty, so that later labels would shift: remove it")
    if not lines[0].startswith("{"):
        return tuple(lines)
    by_label = dict(_parse(line, number, f"{what} '{source}'") for number, line in enumerate(lines, start=1))
    if sorted(by_label) != list(range(len(lines))):
        raise UserError(f"{what} '{source}': labels must be 0 to {len(lines) - 1}, each once, for its {len(lines)} lines")
    return tuple(by_label[label] for label in range(len(lines)))


def _parse(line: str, number: int, where: str) -> tuple[int, str]:
    try:
        entry: Any = json.loads(line)
    except json.JSONDecodeError:
        entry = None
    if not isinstance(entry, dict) or not isinstance(entry.get("answer"), str) or type(entry.get("label")) is not int:
        raise UserError(f'{where}: line {number} must be like {{"answer": "yes", "label": 0}}')
    return entry["label"], entry["answer"]
