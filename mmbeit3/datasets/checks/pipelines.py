"""Search for datasets and transforms inside a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["applies_orientation", "find_datasets", "find_steps", "type_name"]


def find_datasets(cfg: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the configs of datasets inside wrappers such as ``ConcatDataset`` and ``RepeatDataset``."""
    inner = cfg.get("datasets") or ([cfg["dataset"]] if "dataset" in cfg else None)
    if inner is None:
        yield cfg
    else:
        for dataset in inner:
            yield from find_datasets(dataset)


def find_steps(part: Any, *names: str) -> Iterator[Mapping[str, Any]]:
    """Yield the configs of transforms with one of these type names, in a dataset or pipeline, also inside wrappers."""
    if isinstance(part, Mapping):
        if type_name(part) in names:
            yield part
        part = [part.get(key) for key in ("dataset", "datasets", "pipeline", "transforms")]
    if isinstance(part, list | tuple):
        for one in part:
            yield from find_steps(one, *names)


def applies_orientation(cfg: Any) -> bool:
    """Return True if every ``LoadImageFromFile`` of a dataset rotates images by their EXIF orientation, the default."""
    return all("ignore_orientation" not in step.get("color_type", "") for step in find_steps(cfg, "LoadImageFromFile"))


def type_name(cfg: Mapping[str, Any]) -> str:
    """Return the name of a config's ``type`` without its scope."""
    kind = cfg.get("type")
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]
