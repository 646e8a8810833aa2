"""Names and sizes of tensors in messages. Names come from files: they are shown on one line, whatever is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from mmbeit3.errors import printable

__all__ = ["count_names", "list_names", "shape_text"]


def shape_text(shape: Iterable[int]) -> str:
    """``(48, 3, 16, 16)`` as ``48x3x16x16``."""
    return "x".join(map(str, shape)) or "scalar"


def list_names(names: Sequence[str], most: int = 3) -> str:
    """Name the first few, and say how many there are besides."""
    shown = ", ".join(printable(name, 100) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def count_names(names: Sequence[str]) -> str:
    """Count names by their first part (two parts inside a ViT or an encoder), or list them where they are few."""
    if len(names) <= 3:
        return list_names(names)
    groups = Counter(".".join(name.split(".")[: 2 if name.startswith(("vit.", "encoder.")) else 1]) for name in names)
    return f"{len(names)} (" + ", ".join(f"{printable(group, 100)} {count}" for group, count in groups.items()) + ")"
