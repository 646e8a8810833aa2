"""Class names and colours of a dataset, from its config alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS

from mmbeit3.errors import UserError

__all__ = ["dataset_class", "read_metainfo"]


def dataset_class(cfg: Mapping[str, Any], scope: str | None) -> Any:
    """The class of a dataset's config, or the function that stands for it; None if there is none of its name.

    Args:
        cfg: a dataset's config.
        scope: the ``default_scope`` of the whole config.
    """
    if not isinstance(cfg["type"], str):
        return cfg["type"]
    with DATASETS.switch_scope_and_registry(scope) as registry:
        return registry.get(cfg["type"])


def read_metainfo(cfg: Mapping[str, Any], scope: str | None) -> dict[str, Any]:
    """What MMEngine would make ``dataset.metainfo`` of, without reading the data.

    Args:
        cfg: a dataset's config.
        scope: the ``default_scope`` of the whole config.

    Returns:
        The dataset class's own meta information with the config's ``metainfo`` over it; ``classes`` is absent where neither
        names any.

    Raises:
        UserError: if ``classes`` is a text and no file that can be read.
    """
    dataset = dataset_class(cfg, scope)
    meta = {**(getattr(dataset, "METAINFO", None) or {}), **(cfg.get("metainfo") or {})}
    classes = meta.get("classes")
    if isinstance(classes, str):
        # MMEngine takes a text for the name of a file with a class a line.
        if not Path(classes).is_file():
            raise UserError(f"metainfo.classes is '{classes}', which is no file: for one class, write ('{classes}',)")
        try:
            text = Path(classes).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"metainfo.classes '{classes}' cannot be read ({error}): give a UTF-8 file, a name a line"
            ) from error
        if text.startswith("\ufeff"):
            # MMEngine would make it the first letter of the first name.
            raise UserError(f"metainfo.classes '{classes}' begins with a byte-order mark: save the file as UTF-8 without one")
        meta["classes"] = text.splitlines()
    return meta
