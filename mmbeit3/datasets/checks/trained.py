"""Whether a checkpoint was trained on the classes that a config names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbeit3.checkpoint import read_classes
from mmbeit3.datasets.checks.allowed import allowed, switch
from mmbeit3.datasets.checks.pipelines import find_datasets
from mmbeit3.datasets.metainfo import read_metainfo
from mmbeit3.errors import UserError

__all__ = ["check_trained_classes"]


def check_trained_classes(cfg: Mapping[str, Any], checkpoint: str | Path) -> None:
    """Check that labels mean the same in a checkpoint, if it says what they mean, and in a config's test dataset.

    Raises:
        UserError: naming the first class that differs.
    """
    loader = cfg.get("test_dataloader")
    if not loader or "other_classes" in allowed(cfg):
        return
    classes = read_metainfo(next(find_datasets(loader["dataset"])), cfg.get("default_scope")).get("classes")
    trained = read_classes(checkpoint)
    if classes is None or trained is None or list(classes) == trained:
        return
    place = next((i for i, (a, b) in enumerate(zip(classes, trained, strict=False)) if a != b), min(len(classes), len(trained)))
    here, there = (repr(names[place]) if place < len(names) else "missing" for names in (list(classes), trained))
    raise UserError(
        f"checkpoint '{checkpoint}' was trained on other classes than the config names: number {place} is {there} in the "
        f"checkpoint and {here} in the config: give the config it was trained with; {switch('other_classes')}"
    )
