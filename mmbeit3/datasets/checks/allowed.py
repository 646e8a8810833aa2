"""What a config does on purpose, although it is mostly a mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbeit3.errors import UserError

__all__ = ["ALLOWABLE", "allowed", "switch"]

ALLOWABLE = ("other_categories", "repeated_images", "dropped_objects", "boxes_beyond", "unscored_images", "zero_label")
"""Names for ``data_checks=dict(allow=[...])`` in a config, in this order: annotations of categories that the classes lack are
left out; a file has the same image twice; many boxes are unusable; many boxes reach beyond their images; the ground truth of
the scores has images that the data lack; ``reduce_zero_label`` drops a number that may be a class."""


def allowed(cfg: Mapping[str, Any]) -> set[str]:
    """The names that a config allows.

    Raises:
        UserError: for a name that does not exist.
    """
    names = (cfg.get("data_checks") or {}).get("allow") or ()
    found = {names} if isinstance(names, str) else set(names)
    if unknown := sorted(found - set(ALLOWABLE)):
        raise UserError(f"data_checks.allow: there is no '{unknown[0]}'; there are {', '.join(ALLOWABLE)}")
    return found


def switch(name: str) -> str:
    """How to allow something, for the end of an error."""
    return f"if that is meant, set data_checks=dict(allow=['{name}']) in the config"
