"""Names and sizes of tensors in messages. Names come from files, so they are cut and made printable on one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from mmbeit3.errors import list_first, printable

__all__ = ["count_names", "list_names", "shape_text"]


def shape_text(shape: Iterable[int]) -> str:
    """Format a shape: ``(48, 3, 16, 16)`` gives ``48x3x16x16``."""
    return "x".join(map(str, shape)) or "scalar"


def list_names(names: Sequence[str], most: int = 3) -> str:
    """List the first names, and the number of the others."""
    return list_first((printable(name, 100) for name in names), most)


def count_names(names: Sequence[str]) -> str:
    """Count names by their first part (by two parts in a ViT or an encoder). Up to three names are listed instead."""
    if len(names) <= 3:
        return list_names(names)
    groups = Counter(".".join(name.split(".")[: 2 if name.startswith(("vit.", "encoder.")) else 1]) for name in names)
    return f"{len(names)} (" + ", ".join(f"{printable(group, 100)} {count}" for group, count in groups.items()) + ")"
