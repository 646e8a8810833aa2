"""Exceptions that a config allows, for things that are usually mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbeit3.errors import UserError

__all__ = ["ALLOWABLE", "allow_hint", "read_allowed"]

ALLOWABLE = {
    "other_categories": "annotations of categories that are not in metainfo.classes are left out",
    "repeated_images": "a file lists the same image under several ids",
    "dropped_objects": "mmdet drops a quarter of the boxes or more",
    "boxes_beyond": "a quarter of the boxes or more reach beyond their images",
    "unscored_images": "the evaluator's ground truth has images that the dataset does not have",
    "zero_label": "reduce_zero_label ignores the number 0 although it may be a class",
    "folder_names": "classes have other names than their folders, in the folders' alphabetical order",
    "other_classes": "a checkpoint was trained on other classes than the config's",
}
"""Name for ``data_checks=dict(allow=[...])`` in a config to what it allows."""


def read_allowed(cfg: Mapping[str, Any]) -> set[str]:
    """Read the names in ``data_checks.allow`` of a config.

    Raises:
        UserError: if a name is not in :data:`ALLOWABLE`.
    """
    names = (cfg.get("data_checks") or {}).get("allow") or ()
    found = {names} if isinstance(names, str) else set(names)
    if unknown := sorted(found - ALLOWABLE.keys()):
        raise UserError(f"data_checks.allow: '{unknown[0]}' is unknown: give some of {', '.join(ALLOWABLE)}")
    return found


def allow_hint(name: str) -> str:
    """Return the end of an error message that explains how to allow an exception."""
    return f"if this is intended, set data_checks=dict(allow=['{name}']) in the config"
