"""Replace OpenMMLab's transforms that load images and label images by mmbeit3's, which check what they read.

The config itself does not change, because MMEngine saves it with the results, and other tools look for OpenMMLab's transforms
in it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmengine.registry import TRANSFORMS, DefaultScope
from torch.utils.data import DataLoader

from mmbeit3.datasets.checks.labels import ignore_index
from mmbeit3.datasets.metainfo import read_metainfo

__all__ = ["use_checked_loading"]

_SEG_LABELS = "mmseg.datasets.transforms.loading"
_DET_LABELS = "mmdet.datasets.transforms.loading"


def use_checked_loading(dataloader: DataLoader | dict[str, Any], cfg: Mapping[str, Any]) -> Any:
    """Return a copy of a dataloader config with checked loading transforms.

    Args:
        dataloader: config of a dataloader. A built dataloader is returned unchanged.
        cfg: the whole config.
    """
    if isinstance(dataloader, DataLoader):
        return dataloader
    dataloader = copy.deepcopy(dataloader)
    scope = cfg.get("default_scope") or DefaultScope.get_current_instance().scope_name
    labels = {"num_classes": None, "ignore_index": ignore_index(cfg.get("model") or {})}
    _replace(dataloader.get("dataset"), scope, labels)
    return dataloader


def _replace(part: Any, scope: str, labels: dict[str, Any]) -> None:
    """Replace transforms in the config of a dataset, a dataset wrapper or a nested transform, in place."""
    if not isinstance(part, dict):
        return
    if "pipeline" in part:
        classes = read_metainfo(part, scope).get("classes")
        labels = {**labels, "num_classes": None if classes is None else len(classes)}
    for key in ("pipeline", "transforms"):
        if isinstance(part.get(key), list | tuple):
            part[key] = _replace_steps(part[key], scope, labels)
    inner = part.get("datasets") or [part.get("dataset")]
    for dataset in inner:
        _replace(dataset, scope, labels)


def _replace_steps(steps: Any, scope: str, labels: dict[str, Any]) -> list[Any]:
    result: list[Any] = []
    for step in steps:
        if isinstance(step, list | tuple):
            result.append(_replace_steps(step, scope, labels))
        elif isinstance(step, dict) and "type" in step:
            result += _steps_for(step, scope, labels)
            _replace(step, scope, labels)
        else:
            result.append(step)
    return result


def _steps_for(step: dict[str, Any], scope: str, labels: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the transforms that replace a given one."""
    kind = step["type"]
    if isinstance(kind, str):
        with TRANSFORMS.switch_scope_and_registry(scope) as registry:
            kind = registry.get(kind)
    if kind is LoadImageFromFile:
        return [{**step, "type": "mmbeit3.LoadImageOrFail"}]
    if getattr(kind, "__name__", "") != "LoadAnnotations":
        return [step]
    ours = {"type": "mmbeit3.LoadLabelImage", "backend_args": step.get("backend_args")}
    if kind.__module__ == _SEG_LABELS:
        return [{**ours, **labels, "reduce_zero_label": step.get("reduce_zero_label")}]
    if kind.__module__ == _DET_LABELS and step.get("with_seg"):
        # These labels belong to the semantic head; the dataset's classes are those of the boxes.
        options = {"reduce_zero_label": step.get("reduce_zero_label", False), "ignore_index": step.get("ignore_index", 255)}
        return [{**step, "with_seg": False}, {**ours, **options}]
    return [step]
