"""Replace OpenMMLab's transforms that load images and label images by ours, which check what they read.

The config itself does not change: MMEngine writes it into the work directory and into checkpoints, and users pass it on to
tools that look for OpenMMLab's transforms by name.
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
    """A data loader's config with our transforms in place of OpenMMLab's that load images and label images.

    Args:
        dataloader: its config, which is left as it is; a finished data loader is returned unchanged.
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
    """Change the config of a dataset, of a wrapper, or of a transform with others inside, in place."""
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
    """What takes the place of a transform."""
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
        # Its labels are of another model part than the classes are of.
        options = {"reduce_zero_label": step.get("reduce_zero_label", False), "ignore_index": step.get("ignore_index", 255)}
        return [{**step, "with_seg": False}, {**ours, **options}]
    return [step]
