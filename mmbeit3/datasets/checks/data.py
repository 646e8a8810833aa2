"""All checks of a config's data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmbeit3.datasets.checks.allowed import allow_hint, read_allowed
from mmbeit3.datasets.checks.coco import check_annotations, check_classes, check_image_files, check_masks, check_things
from mmbeit3.datasets.checks.files import check_files, is_remote, is_remote_path, join
from mmbeit3.datasets.checks.folders import (
    check_class_names,
    check_folder_names,
    check_label_list,
    check_same_folders,
    label_folders,
    label_list,
)
from mmbeit3.datasets.checks.heads import check_heads, check_slide
from mmbeit3.datasets.checks.labels import check_label_images, ignore_index
from mmbeit3.datasets.checks.pipelines import find_datasets, find_steps, type_name
from mmbeit3.datasets.coco_file import CocoFile, read_coco
from mmbeit3.datasets.messages import first_difference
from mmbeit3.datasets.metainfo import dataset_class, read_metainfo
from mmbeit3.errors import UserError
from mmbeit3.files import check_writable

__all__ = ["check_data"]

_METRIC_ALLOWS = {"other_categories"}
"""Exceptions for an evaluator's ground truth: objects of other categories are not scored."""

_COCO_METRIC = re.compile(r"(?:Faster)?Coco(?:Fast|Panoptic)?Metric")
"""Regex for the names of metrics that read a COCO file."""


def check_data(cfg: Mapping[str, Any], splits: tuple[str, ...] = ("train", "val", "test")) -> None:
    """Check that the folders, files, classes, annotations and model of a config fit each other.

    Args:
        cfg: a whole config. Its ``data_checks=dict(allow=[...])`` allows exceptions, see
            :data:`~mmbeit3.datasets.checks.allowed.ALLOWABLE`.
        splits: splits whose dataloaders and evaluators are checked.

    Raises:
        UserError: naming what is missing or does not fit, where, and what to do.
    """
    _Checks(cfg).run(splits)


class _Checks:
    """Checks of one config. Each annotation file is read once."""

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        self.cfg = cfg
        self.model: Mapping[str, Any] = cfg.get("model") or {}
        self.scope = cfg.get("default_scope")
        self.allow = read_allowed(cfg)
        self.files: dict[Path, CocoFile] = {}
        self.classes: tuple[str, Sequence[str]] | None = None
        self.folders: tuple[str, Sequence[str]] | None = None

    def run(self, splits: tuple[str, ...]) -> None:
        check_slide(self.model)
        for split in splits:
            loader = self.cfg.get(f"{split}_dataloader")
            datasets = list(find_datasets(loader["dataset"])) if loader else []
            read = [self._check_dataset(dataset, f"{split}_dataloader") for dataset in datasets]
            metrics = self.cfg.get(f"{split}_evaluator") or ()
            for metric in [metrics] if isinstance(metrics, Mapping) else metrics:
                self._check_metric(metric, f"{split}_evaluator", [file for file in read if file is not None])

    def _check_dataset(self, dataset: Mapping[str, Any], where: str) -> CocoFile | None:
        """Check one dataset. Return its annotation file if that has COCO's format."""
        classes = read_metainfo(dataset, self.scope).get("classes")
        if not is_remote(dataset):
            check_files(dataset, where)
        kind = dataset_class(dataset, self.scope)
        of_folders = _descends(kind, "mmpretrain", "CustomDataset")
        if of_folders and not is_remote(dataset):
            self._check_folders(dataset, None if classes is None else list(classes), where)
        if classes is None:
            return None
        self._compare_classes(list(classes), where, "classes" in (dataset.get("metainfo") or {}))
        file = None
        if of_folders:
            pass
        elif _descends(kind, "mmseg", "BaseSegDataset"):
            check_label_images(dataset, kind, classes, where, self.model, self.allow, self.cfg.get("tta_pipeline"))
        elif _numbers_labels_by_file(kind) and not is_remote(dataset):
            file = self._read(join(dataset.get("data_root"), dataset.get("ann_file")))
            by_id = _descends(kind, "mmdet", "Objects365V1Dataset")
            check_classes(file, classes, where, self.allow, by_id)
            check_heads(self.model, len(classes), where)
            self._check_coco(file, dataset, classes, where)
            return file
        check_heads(self.model, len(classes), where)
        return file

    def _check_folders(self, dataset: Mapping[str, Any], classes: list[str] | None, where: str) -> None:
        """Check class folders or a list of labels against the classes, the other splits and the model."""
        folders = label_folders(dataset, where)
        if folders is not None:
            if self.folders is not None:
                check_same_folders(folders, where, self.folders[1], self.folders[0])
            self.folders = self.folders or (where, folders)
        if classes is not None and folders is not None:
            check_folder_names(folders, classes, dataset, where, self.allow)
        listed = label_list(dataset)
        if classes is not None and listed is not None and dataset.get("with_label", True) and dataset.get("split") != "test":
            check_label_list(listed, classes, where, self.allow)
        if type_name(self.model) == "BEiT3ZeroShotClassification" and "class_names" in self.model:
            check_class_names(self.model["class_names"], folders, classes, where, self.allow)

    def _check_coco(self, file: CocoFile, dataset: Mapping[str, Any], classes: Sequence[str], where: str) -> None:
        if file.is_panoptic:
            check_things(file, classes, self.model, where)
        # Comes first, because wrong image sizes make boxes look wrong.
        check_image_files(file, dataset, where)
        if file.annotated or "test" not in where:
            check_annotations(file, dataset, classes, where, self.allow)
        elif not dataset.get("test_mode"):
            raise UserError(f"{where}: '{file.path}' has no annotations: set test_mode=True, or give an annotated file")
        if any(step.get("with_mask") for step in find_steps(dataset, "LoadAnnotations")):
            check_masks(file, f"LoadAnnotations of {where}", self.model, dataset.get("pipeline"))

    def _compare_classes(self, classes: list[str], where: str, named: bool) -> None:
        """Check that class names are valid, and the same in all splits: labels are indices into them.

        Only names from the config must be unique. A library's names may repeat, such as ImageNet's 'crane'.
        """
        twice = [name for name, count in Counter(classes).items() if count > 1 and named]
        if twice or not classes:
            raise UserError(
                f"{where}: metainfo.classes {f'has {twice[0]!r} twice' if twice else 'is empty'}: name each class once"
            )
        if blank := [index for index, name in enumerate(classes) if not str(name).strip()]:
            raise UserError(f"{where}: class {blank[0]} of metainfo.classes is blank: name it, or remove the empty line")
        if self.classes is None:
            self.classes = where, classes
        first, reference = self.classes
        if difference := first_difference(classes, reference):
            index, here, there = difference
            raise UserError(
                f"{where} and {first} have different classes: class {index} is {here} in {where} and {there} in {first}: give "
                "both the same metainfo.classes, in the same order"
            )

    def _read(self, path: str) -> CocoFile:
        key = Path(path)
        if key not in self.files:
            self.files[key] = read_coco(key)
        return self.files[key]

    def _check_metric(self, cfg: Mapping[str, Any], where: str, read: list[CocoFile]) -> None:
        """Check an evaluator's files before training, because it only reads them after the first epochs."""
        for key in ("ann_file", "seg_prefix"):
            path = cfg.get(key)
            if path and not is_remote_path(path) and not Path(path).exists():
                raise UserError(f"{where}: '{path}' ({key}) does not exist: set {key} in the config")
        # Outputs of mmdet's and mmseg's metrics. mmbeit3's metrics check theirs when they are built.
        if prefix := cfg.get("outfile_prefix"):
            check_writable(f"{prefix}.bbox.json")
        if folder := cfg.get("output_dir"):
            check_writable(Path(folder) / "0.png")
        ignored = ignore_index(self.model)
        if type_name(cfg) == "IoUMetric" and cfg.get("ignore_index", 255) != ignored:
            raise UserError(
                f"{where}: IoUMetric has ignore_index={cfg.get('ignore_index', 255)}, but model.decode_head has {ignored}, so "
                "pixels that are not trained on would be scored: give both the same"
            )
        if not _COCO_METRIC.fullmatch(type_name(cfg)) or self.classes is None or not read:
            return
        path = cfg.get("ann_file")
        if path and is_remote_path(path):
            return
        truths = [self._read(str(path))] if path else read
        metrics = cfg.get("metric", "bbox")
        for truth in truths:
            if path:
                check_classes(truth, self._scored_classes(truth), where, _METRIC_ALLOWS, bool(cfg.get("sort_categories")))
                self._compare_images(truth, read, where)
            if cfg.get("format_only"):
                continue
            if not truth.annotated:
                raise UserError(f"{where}: '{truth.path}' has no annotations to compare with: set format_only=True")
            if truth.is_panoptic:
                continue
            if truth.first_unscored is not None and path:
                raise UserError(f"{where}: '{truth.path}' cannot be the ground truth: {truth.first_unscored}")
            if "segm" in ([metrics] if isinstance(metrics, str) else metrics):
                check_masks(truth, f"metric 'segm' of {where}", self.model)

    def _scored_classes(self, truth: CocoFile) -> Sequence[str]:
        """Return the classes that a ground truth must have. A panoptic model has boxes only for things, its first classes."""
        assert self.classes is not None
        head = self.model.get("panoptic_head")
        if isinstance(head, Mapping) and not truth.is_panoptic:
            return self.classes[1][: head.get("num_things_classes")]
        return self.classes[1]

    def _compare_images(self, truth: CocoFile, read: list[CocoFile], where: str) -> None:
        """Check that the ground truth has the same images as the data, with the same ids."""
        known: set[Any] = set()
        for file in read:
            for number, (name, _, _) in file.images.items():
                found = truth.images.get(number)
                if found is None or found[0] != name:
                    there = "missing" if found is None else f"'{found[0]}'"
                    raise UserError(
                        f"{where}: image {number} is '{name}' in '{file.path}', but {there} in the ground truth "
                        f"'{truth.path}': give dataset and evaluator the same ann_file"
                    )
            known |= file.images.keys()
        if (missing := truth.images.keys() - known) and "unscored_images" not in self.allow:
            name = truth.images[min(missing, key=str)][0]
            raise UserError(
                f"{where}: the ground truth '{truth.path}' has {len(missing)} images that the dataset does not have, such "
                f"as '{name}', whose objects would count as missed: give dataset and evaluator the same ann_file; "
                + allow_hint("unscored_images")
            )


def _descends(kind: Any, package: str, name: str) -> bool:
    """Return True if a class is, or derives from, a class of a package. The package is not imported."""
    bases = getattr(kind, "__mro__", ())
    return any(base.__name__ == name and base.__module__.partition(".")[0] == package for base in bases)


def _numbers_labels_by_file(kind: Any) -> bool:
    """Return True if a dataset class reads COCO's format and numbers labels by the file's categories. Some in mmdet do not."""
    if not _descends(kind, "mmdet", "CocoDataset"):
        return False
    owner = next(base for base in kind.__mro__ if "load_data_list" in vars(base))
    return owner.__name__ in ("CocoDataset", "Objects365V1Dataset")
