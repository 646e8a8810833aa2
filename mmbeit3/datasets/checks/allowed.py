"""What a config does on purpose, although it is mostly a mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbeit3.errors import UserError

__all__ = ["ALLOWABLE", "allowed", "switch"]

ALLOWABLE = {
    "other_categories": "annotations of categories that the classes lack are left out",
    "repeated_images": "a file has the same image under several ids",
    "dropped_objects": "a quarter of the boxes or more cannot be used",
    "boxes_beyond": "a quarter of the boxes or more reach beyond their images",
    "unscored_images": "the ground truth of the scores has images that the data lack",
    "zero_label": "reduce_zero_label drops a number that may be a class",
    "folder_names": "classes are called otherwise than their folders, in the folders' alphabetical order",
    "other_classes": "a checkpoint was trained on other classes than the config names",
}
"""Names for ``data_checks=dict(allow=[...])`` in a config, and what each allows."""


def allowed(cfg: Mapping[str, Any]) -> set[str]:
    """The names that a config allows.

    Raises:
        UserError: for a name that does not exist.
    """
    names = (cfg.get("data_checks") or {}).get("allow") or ()
    found = {names} if isinstance(names, str) else set(names)
    if unknown := sorted(found - ALLOWABLE.keys()):
        raise UserError(f"data_checks.allow: there is no '{unknown[0]}'; there are {', '.join(ALLOWABLE)}")
    return found


def switch(name: str) -> str:
    """How to allow something, for the end of an error."""
    return f"if that is meant, set data_checks=dict(allow=['{name}']) in the config"
