"""Configs of published models: plain data beside the weights, from which a model can be built without executing code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmbeit3.datasets.checks.pipelines import find_datasets
from mmbeit3.datasets.metainfo import read_metainfo
from mmbeit3.errors import UserError, one_line

__all__ = ["PUBLISHED_CONFIG", "prediction_config", "read_published"]

PUBLISHED_CONFIG = "config.json"
"""Name of the config in a folder that ``tools/publish_model.py`` writes."""

_KIND = "openmmlab"
"""The ``model_type`` of these configs."""
_KEYS = {"model_type", "mmbeit3_version", "default_scope", "model", "test_dataloader"}
_MOST_BYTES = 1 << 22
_TYPE = re.compile(r"((mmbeit3|mmdet|mmseg|mmengine|mmcv)\.)?[A-Z]\w*|nms|soft_nms")
"""Names of registered classes and of suppression. MMEngine would import any other dotted name, and call what it finds there."""
_LEFT_OUT = ("init_cfg", "pretrained", "checkpoint", "_scope_")
"""Settings of a model that only training needs, or that name files."""
_TUPLE = "tuple"
"""Only key of a JSON object that represents a tuple."""
_EMPTIED = "train_cfg"
"""A setting that only training needs, but that detectors of mmdet require as an argument: it becomes null."""


def prediction_config(cfg: Config) -> dict[str, Any]:
    """Return what predictions need of a training's config: the model, the test pipeline and the classes, as JSON values.

    A tuple becomes ``{"tuple": [...]}``, because transforms distinguish tuples and lists.

    Raises:
        UserError: if the config has a value that JSON cannot hold, such as a class instead of its name.
    """
    scope = cfg.get("default_scope")
    dataset = next(find_datasets(cfg.test_dataloader.dataset))
    meta = read_metainfo(dataset, scope)
    content = {
        "model_type": _KIND,
        "default_scope": scope,
        "model": _plain(cfg.model),
        "test_dataloader": {
            "dataset": {
                "type": _plain(dataset["type"]),
                "metainfo": {key: _plain(value) for key, value in meta.items() if key in ("classes", "palette")},
                "pipeline": _plain(dataset["pipeline"]),
            }
        },
    }
    if fault := _fault(content):
        raise UserError(f"the config cannot be published: {fault}; write registered names in the config")
    return content


def read_published(folder: str | Path) -> Config:
    """Read the config of a published model. Nothing in it is executed.

    Raises:
        UserError: if it is damaged, describes another kind of model, or names anything but registered classes.
    """
    path = Path(folder) / PUBLISHED_CONFIG
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not valid JSON ({one_line(error)}): copy it again") from error
    if not isinstance(content, dict) or content.get("model_type") != _KIND:
        raise UserError(f"'{path}' does not describe a detector or segmentor: give a folder that tools/publish_model.py wrote")
    if unknown := sorted(set(content) - _KEYS):
        raise UserError(f"'{path}' has the unknown key '{unknown[0]}': give a folder that tools/publish_model.py wrote")
    if fault := _fault(content):
        raise UserError(f"'{path}' is refused: {fault}; a published config may only name classes of OpenMMLab and mmbeit3")
    return Config(_restore(content))


def _plain(value: Any) -> Any:
    """Return a config value as JSON values, without the settings that only training needs."""
    if isinstance(value, Mapping):
        kept = {str(key): part for key, part in value.items() if key not in _LEFT_OUT}
        return {key: None if key == _EMPTIED else _plain(part) for key, part in kept.items()}
    if isinstance(value, tuple):
        return {_TUPLE: [_plain(part) for part in value]}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value.__name__ if isinstance(value, type) else value


def _restore(value: Any) -> Any:
    """Return JSON values with tuples for what :func:`_plain` made of them."""
    if isinstance(value, Mapping):
        if set(value) == {_TUPLE} and isinstance(value[_TUPLE], list):
            return tuple(_restore(part) for part in value[_TUPLE])
        return {key: _restore(part) for key, part in value.items()}
    return [_restore(part) for part in value] if isinstance(value, list) else value


def _fault(part: Any) -> str | None:
    """Describe the first value that a published config must not have."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            # norm_cfg, act_cfg and others have registered names in "type", too.
            if key == "type" and not (isinstance(value, str) and _TYPE.fullmatch(value)):
                return f"'{one_line(value, 80)}' is not the name of a registered class"
            if fault := _fault(value):
                return fault
        return None
    if isinstance(part, list):
        return next((fault for value in part if (fault := _fault(value))), None)
    if part is None or isinstance(part, str | int | float | bool):
        return None
    return f"a value of the type {type(part).__name__}"
