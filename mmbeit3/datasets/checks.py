"""Checks of a config's data before anything is built: mmdet drops what it does not know without a word."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmbeit3.datasets.metainfo import read_metainfo
from mmbeit3.errors import UserError

__all__ = ["check_data"]


def check_data(cfg: Mapping[str, Any], splits: tuple[str, ...] = ("train", "val", "test")) -> None:
    """Check that folders and annotation files exist, and that COCO categories, the config's classes and its model agree.

    Args:
        cfg: a whole config.
        splits: whose dataloaders and evaluators to look at.

    Raises:
        UserError: naming what is missing or does not fit, where, and what to do.
    """
    categories: dict[Path, dict[str, Any]] = {}
    for split in splits:
        loader = cfg.get(f"{split}_dataloader")
        if loader:
            for dataset in _datasets(loader["dataset"]):
                where = f"{split}_dataloader"
                classes = read_metainfo(dataset, cfg.get("default_scope")).get("classes")
                _check_files(dataset, where)
                if classes is not None:
                    _check_folders(dataset, len(classes), where)
                    _check_categories(dataset, classes, where, categories)
                    _check_heads(cfg.get("model") or {}, len(classes), where)
        metrics = cfg.get(f"{split}_evaluator") or ()
        for metric in [metrics] if isinstance(metrics, Mapping) else metrics:
            _check_metric(metric, f"{split}_evaluator")


def _datasets(cfg: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The datasets inside wrappers."""
    inner = cfg.get("datasets") or ([cfg["dataset"]] if "dataset" in cfg else None)
    if inner is None:
        yield cfg
    else:
        for dataset in inner:
            yield from _datasets(dataset)


def _is_remote(path: object) -> bool:
    """Whether MMEngine reads a path through one of its network backends; it cannot be looked at from here."""
    return "://" in str(path) or str(path).startswith("s3:")


def _check_files(cfg: Mapping[str, Any], where: str) -> None:
    root = Path(cfg.get("data_root") or "")
    if _is_remote(cfg.get("data_root")):
        return
    if not root.is_dir():
        raise UserError(f"{where}: data folder '{root}' does not exist: set data_root in the config")
    prefixes = cfg.get("data_prefix") or {}
    named = {"": prefixes} if isinstance(prefixes, str) else {f".{kind}": prefix for kind, prefix in prefixes.items()}
    for kind, prefix in named.items():
        if prefix and not (root / prefix).is_dir():
            raise UserError(
                f"{where}: folder '{root / prefix}' (data_prefix{kind}) does not exist: set data_root and data_prefix"
            )
    if cfg.get("type") == "mmpretrain.ImageNet" and not cfg.get("ann_file") and not (root / cfg["split"]).is_dir():
        raise UserError(
            f"{where}: folder '{root / cfg['split']}', of a folder of images for each class, does not exist: set data_root"
        )
    if cfg.get("ann_file") and not (root / cfg["ann_file"]).is_file():
        raise UserError(f"{where}: annotation file '{root / cfg['ann_file']}' does not exist: set ann_file in the config")


def _check_folders(cfg: Mapping[str, Any], count: int, where: str) -> None:
    """Whether ImageNet's folders are as many as the classes: labels are counted by them."""
    if cfg.get("type") != "mmpretrain.ImageNet" or cfg.get("ann_file") or cfg.get("data_prefix"):
        return
    root = Path(cfg.get("data_root") or "") / cfg["split"]
    # With mmpretrain's list of files the folders don't matter.
    if not root.is_dir() or (root.parent / "meta" / f"{cfg['split']}.txt").is_file():
        return
    found = sum(path.is_dir() for path in root.iterdir())
    if found != count:
        raise UserError(
            f"{where}: '{root}' has {found} folders, one for each class, but there are {count} classes: complete the data, or "
            "set metainfo=dict(classes=...)"
        )


def _check_metric(cfg: Mapping[str, Any], where: str) -> None:
    """Scoring comes after hours of training: its ground truth must be there before."""
    for key in ("ann_file", "seg_prefix"):
        path = cfg.get(key)
        if path and not _is_remote(path) and not Path(path).exists():
            raise UserError(f"{where}: '{path}' ({key}) does not exist: set {key} in the config")


def _categories(path: Path) -> dict[str, Any]:
    """Names of a COCO file's categories, those that its annotations use, and how many masks of objects are RLE."""
    try:
        content = json.loads(path.read_bytes())
        names = {category["id"]: category["name"] for category in content["categories"]}
        used: set[int] = set()
        encoded = 0
        for annotation in content.get("annotations", []):
            segments = annotation.get("segments_info")
            used.update([annotation["category_id"]] if segments is None else [s["category_id"] for s in segments])
            encoded += isinstance(annotation.get("segmentation"), dict) and not annotation.get("iscrowd")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{path}' is no COCO annotation file ({type(error).__name__}: {error})") from error
    if unknown := sorted(used - names.keys()):
        raise UserError(f"'{path}': annotations use category ids {unknown} that its own categories lack")
    return {"names": list(names.values()), "used": {names[i] for i in used}, "encoded": encoded}


def _check_categories(
    cfg: Mapping[str, Any], classes: Sequence[str], where: str, categories: dict[Path, dict[str, Any]]
) -> None:
    path = Path(cfg.get("data_root") or "") / (cfg.get("ann_file") or "")
    if path.suffix != ".json" or _is_remote(cfg.get("data_root")):
        return
    if path not in categories:
        categories[path] = _categories(path)
    found = categories[path]
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
    if found["encoded"] and any(step.get("poly2mask") is False for step in cfg.get("pipeline") or ()):
        raise UserError(
            f"{where}: '{path}' has {found['encoded']} masks in RLE, which LoadAnnotations ignores, with their boxes, where "
            "poly2mask=False: remove that from the pipeline"
        )


def _check_heads(cfg: Any, count: int, where: str, name: str = "model") -> None:
    """A head for fewer classes crashes in training, one for more in evaluation."""
    if isinstance(cfg, Mapping):
        for key, value in cfg.items():
            _check_heads(value, count, where, f"{name}.{key}")
        wanted, setting = cfg.get("num_classes"), "num_classes"
        if "num_things_classes" in cfg:
            wanted, setting = (
                cfg["num_things_classes"] + cfg.get("num_stuff_classes", 0),
                "num_things_classes + num_stuff_classes",
            )
        if wanted is not None and wanted != count:
            raise UserError(f"{where} has {count} classes, but {name} is made for {wanted}: set its {setting} to {count}")
    elif isinstance(cfg, list | tuple):
        for index, value in enumerate(cfg):
            _check_heads(value, count, where, f"{name}[{index}]")
