"""Check that a checkpoint was trained on the classes of a config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbeit3.checkpoint import read_classes
from mmbeit3.datasets.checks.allowed import allow_hint, read_allowed
from mmbeit3.datasets.checks.pipelines import find_datasets
from mmbeit3.datasets.messages import first_difference
from mmbeit3.datasets.metainfo import read_metainfo
from mmbeit3.errors import UserError

__all__ = ["check_trained_classes"]


def check_trained_classes(cfg: Mapping[str, Any], checkpoint: str | Path) -> None:
    """Check that a checkpoint, if it stores class names, has the classes of a config's test dataset in the same order.

    Raises:
        UserError: naming the first class that differs.
    """
    loader = cfg.get("test_dataloader")
    if not loader or "other_classes" in read_allowed(cfg):
        return
    classes = read_metainfo(next(find_datasets(loader["dataset"])), cfg.get("default_scope")).get("classes")
    trained = read_classes(checkpoint)
    if classes is None or trained is None:
        return
    if difference := first_difference(trained, list(classes)):
        index, in_checkpoint, in_config = difference
        raise UserError(
            f"checkpoint '{checkpoint}' was trained on other classes than the config's: class {index} is {in_checkpoint} in "
            f"the checkpoint and {in_config} in the config: use the config it was trained with; {allow_hint('other_classes')}"
        )
