"""Finding datasets and transforms inside a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["find_datasets", "find_steps", "type_name"]


def find_datasets(cfg: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The datasets inside wrappers such as ``ConcatDataset`` and ``RepeatDataset``."""
    inner = cfg.get("datasets") or ([cfg["dataset"]] if "dataset" in cfg else None)
    if inner is None:
        yield cfg
    else:
        for dataset in inner:
            yield from find_datasets(dataset)


def find_steps(part: Any, *names: str) -> Iterator[Mapping[str, Any]]:
    """The transforms of some names in a dataset's config or a pipeline, whatever they are wrapped in."""
    if isinstance(part, Mapping):
        if type_name(part) in names:
            yield part
        part = [part.get(key) for key in ("dataset", "datasets", "pipeline", "transforms")]
    if isinstance(part, list | tuple):
        for one in part:
            yield from find_steps(one, *names)


def type_name(cfg: Mapping[str, Any]) -> str:
    """The name of a config's ``type``, without its scope."""
    kind = cfg.get("type")
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]
