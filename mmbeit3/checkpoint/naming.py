"""Names and sizes of tensors in messages. Names come from files: they are shown on one line, whatever is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = ["count_names", "list_names", "one_line", "shape_text"]


def one_line(text: object, limit: int = 200) -> str:
    """Return a text's first line that is not empty, unprintable characters replaced, cut after ``limit`` characters."""
    lines = str(text).strip().splitlines()
    return _printable(lines[0] if lines else "", limit)


def _printable(text: str, limit: int) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[:limit]}…"


def shape_text(shape: Iterable[int]) -> str:
    """``(48, 3, 16, 16)`` as ``48x3x16x16``."""
    return "x".join(map(str, shape)) or "scalar"


def list_names(names: Sequence[str], most: int = 3) -> str:
    """Name the first few, and say how many there are besides."""
    shown = ", ".join(_printable(name, 100) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def count_names(names: Sequence[str]) -> str:
    """Count names by their first part (two parts inside a ViT or an encoder), or list them where they are few."""
    if len(names) <= 3:
        return list_names(names)
    groups = Counter(".".join(name.split(".")[: 2 if name.startswith(("vit.", "encoder.")) else 1]) for name in names)
    return f"{len(names)} (" + ", ".join(f"{_printable(group, 100)} {count}" for group, count in groups.items()) + ")"
