"""Checks of a config's data before anything is built: mmdet drops what it does not know without a word."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmbeit3.errors import UserError

__all__ = ["check_data"]


def check_data(cfg: Mapping[str, Any], splits: tuple[str, ...] = ("train", "val", "test")) -> None:
    """Check that folders and annotation files exist, and that COCO categories and the config's classes agree.

    Args:
        cfg: a whole config.
        splits: whose dataloaders to look at.

    Raises:
        UserError: naming what is missing or does not fit, where, and what to do.
    """
    categories: dict[Path, dict[str, Any]] = {}
    for split in splits:
        loader = cfg.get(f"{split}_dataloader")
        if loader:
            for dataset in _datasets(loader["dataset"]):
                _check_dataset(dataset, f"{split}_dataloader", categories)


def _datasets(cfg: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The datasets inside wrappers."""
    inner = cfg.get("datasets") or ([cfg["dataset"]] if "dataset" in cfg else None)
    if inner is None:
        yield cfg
    else:
        for dataset in inner:
            yield from _datasets(dataset)


def _check_dataset(cfg: Mapping[str, Any], where: str, categories: dict[Path, dict[str, Any]]) -> None:
    root = Path(cfg.get("data_root") or "")
    if not root.is_dir():
        raise UserError(f"{where}: data folder '{root}' does not exist: set data_root in the config")
    for kind, prefix in (cfg.get("data_prefix") or {}).items():
        if prefix and not (root / prefix).is_dir():
            raise UserError(f"{where}: folder '{root / prefix}' (data_prefix.{kind}) does not exist")
    ann_file = cfg.get("ann_file")
    if not ann_file:
        return
    path = root / ann_file
    if not path.is_file():
        raise UserError(f"{where}: annotation file '{path}' does not exist: set ann_file in the config")
    if path.suffix != ".json":
        return
    if path not in categories:
        categories[path] = _categories(path)
    _check_classes(cfg, where, path, categories[path])


def _categories(path: Path) -> dict[str, Any]:
    """Names of a COCO file's categories, and the ids that its annotations use."""
    try:
        content = json.loads(path.read_bytes())
        names = {category["id"]: category["name"] for category in content["categories"]}
        used: set[int] = set()
        for annotation in content.get("annotations", []):
            segments = annotation.get("segments_info")
            used.update([annotation["category_id"]] if segments is None else [s["category_id"] for s in segments])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{path}' is no COCO annotation file ({type(error).__name__}: {error})") from error
    if unknown := sorted(used - names.keys()):
        raise UserError(f"'{path}': annotations use category ids {unknown} that its own categories lack")
    return {"names": list(names.values()), "used": {names[i] for i in used}}


def _check_classes(cfg: Mapping[str, Any], where: str, path: Path, found: dict[str, Any]) -> None:
    classes = (cfg.get("metainfo") or {}).get("classes")
    if classes is None:
        from mmdet.registry import DATASETS

        dataset = DATASETS.get(cfg["type"])
        classes = (getattr(dataset, "METAINFO", None) or {}).get("classes")
    if classes is None:
        return
    if lacking := [name for name in found["names"] if name in found["used"] and name not in classes]:
        raise UserError(
            f"{where}: '{path}' has annotations of {', '.join(lacking)}, which the config's classes lack: "
            "add them to metainfo.classes (and num_classes), or they would be dropped"
        )
    if missing := [name for name in classes if name not in found["names"]]:
        raise UserError(
            f"{where}: the config's classes {', '.join(missing)} are not among the categories of '{path}': "
            "set metainfo=dict(classes=...) to the file's names"
        )
