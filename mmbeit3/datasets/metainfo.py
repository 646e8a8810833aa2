"""Class names and colours of a dataset, read from its config without the data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DATASETS

from mmbeit3.datasets.annotations import read_text
from mmbeit3.errors import UserError
from mmbeit3.visualization.colours import colours_for

__all__ = ["dataset_class", "read_class_colours", "read_metainfo"]


def dataset_class(cfg: Mapping[str, Any], scope: str | None) -> Any:
    """Return the class that builds a dataset's config, or the function registered for it. None if the name is unknown.

    Args:
        cfg: a dataset's config.
        scope: the ``default_scope`` of the whole config.
    """
    if not isinstance(cfg["type"], str):
        return cfg["type"]
    with DATASETS.switch_scope_and_registry(scope) as registry:
        return registry.get(cfg["type"])


def read_metainfo(cfg: Mapping[str, Any], scope: str | None) -> dict[str, Any]:
    """Return the ``metainfo`` that MMEngine would give the dataset, without reading the data.

    Args:
        cfg: a dataset's config.
        scope: the ``default_scope`` of the whole config.

    Returns:
        ``METAINFO`` of the dataset's class, updated with the config's ``metainfo``. ``classes`` is absent if neither has it.

    Raises:
        UserError: if ``classes`` is a string but not the path of a UTF-8 file.
    """
    dataset = dataset_class(cfg, scope)
    meta = {**(getattr(dataset, "METAINFO", None) or {}), **(cfg.get("metainfo") or {})}
    classes = meta.get("classes")
    if isinstance(classes, str):
        # MMEngine treats a string as the path of a file with one class per line.
        if not Path(classes).is_file():
            raise UserError(f"metainfo.classes is '{classes}', which is not a file: for one class, write ('{classes}',)")
        meta["classes"] = read_text(classes, "metainfo.classes").splitlines()
    return meta


def read_class_colours(cfg: Mapping[str, Any], scope: str | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the class names of a dataset and their colours in pictures, without reading the data.

    The colours are ``metainfo["palette"]``. A palette of the dataset's class, such as that of COCO, is not used for other class
    names. Classes without a colour get one of :func:`~mmbeit3.visualization.drawing.class_colours`.

    Args:
        cfg: a dataset's config.
        scope: the ``default_scope`` of the whole config.

    Returns:
        The names, empty if the dataset has none, and uint8 (C, 3), RGB.

    Raises:
        UserError: if ``classes`` is a string but not the path of a UTF-8 file.
    """
    meta = read_metainfo(cfg, scope)
    classes = tuple(meta.get("classes") or ())
    given = cfg.get("metainfo") or {}
    known = (getattr(dataset_class(cfg, scope), "METAINFO", None) or {}).get("classes")
    palette = meta.get("palette") if "palette" in given or classes == tuple(known or ()) else None
    # mmdet's datasets may name a rule for colours, such as "random", instead.
    return classes, colours_for(None if isinstance(palette, str) else palette, len(classes))[: len(classes)]
