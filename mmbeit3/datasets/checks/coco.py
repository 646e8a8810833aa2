"""Checks that a COCO file, a config's classes and the image files fit each other."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmbeit3.datasets.annotations import find_missing
from mmbeit3.datasets.checks.allowed import allow_hint
from mmbeit3.datasets.checks.files import check_complete, count_suffixes, is_remote, join, sample
from mmbeit3.datasets.checks.heads import boxes_only_hint
from mmbeit3.datasets.checks.pipelines import applies_orientation, find_steps
from mmbeit3.datasets.coco_file import CocoFile
from mmbeit3.datasets.messages import first_difference
from mmbeit3.datasets.panoptic import read_segment_ids
from mmbeit3.datasets.transforms import size_conflict
from mmbeit3.errors import UserError, list_first
from mmbeit3.images import naming_image

__all__ = ["check_annotations", "check_classes", "check_image_files", "check_masks", "check_things"]

_MAX_ODD_SHARE = 0.25
"""Share (0 to 1) of dropped or overhanging boxes that is an error. Fewer are only logged: COCO itself has a few."""


def check_classes(file: CocoFile, classes: Sequence[str], where: str, allow: set[str], by_id: bool = False) -> None:
    """Check that the config's classes are the file's categories, in the same order.

    mmdet numbers labels in the order of the file's categories, but takes names and colours from the config's classes. If the
    orders differ, every class gets the name of another one.

    Args:
        file: the annotation file.
        classes: class names of the config.
        where: part of the config that reads the file, for error messages.
        allow: exceptions that the config allows.
        by_id: True if the reader sorts the categories by id first.

    Raises:
        UserError: if annotations would be dropped, a class has no category, or the orders differ.
    """
    if unlisted := [name for name in file.used_names() if name not in classes]:
        if "other_categories" not in allow:
            raise UserError(
                f"{where}: '{file.path}' has annotations of {list_first(unlisted)}, which are not in the config's classes, so "
                f"mmdet would drop them: add them to metainfo.classes (and num_classes); {allow_hint('other_categories')}"
            )
        print_log(f"{where}: annotations of {list_first(unlisted)} are left out, as the config allows", "current")
    names = set(file.names.values())
    if missing := [name for name in classes if name not in names]:
        raise UserError(
            f"{where}: the config's classes {list_first(missing)} are not among the categories of '{file.path}': "
            f"set metainfo=dict(classes=...) to the file's names, {list_first(file.names.values(), 12)}"
        )
    ordered = sorted(file.names) if by_id else list(file.names)
    found = [file.names[number] for number in ordered if file.names[number] in set(classes)]
    if difference := first_difference(found, classes):
        index, in_file, in_config = difference
        order = "by category id" if by_id else "in the order of the file's categories"
        raise UserError(
            f"{where}: mmdet numbers labels {order}: class {index} is {in_file} in '{file.path}', but {in_config} in the "
            "config's classes, so classes would get wrong names; write metainfo.classes in the file's order, or reorder the "
            "file's categories"
        )


def check_things(file: CocoFile, classes: Sequence[str], model: Mapping[str, Any], where: str) -> None:
    """Check that things are the first classes of a panoptic model, as ``isthing`` in the file defines them.

    Raises:
        UserError: naming the first class that differs.
    """
    head = model.get("panoptic_head")
    if not isinstance(head, Mapping) or "num_things_classes" not in head:
        return
    things = {file.names[number]: isthing for number, isthing in file.things.items()}
    for index, name in enumerate(classes):
        if things[name] != (index < head["num_things_classes"]):
            raise UserError(
                f"{where}: '{name}' is {'a thing' if things[name] else 'stuff'} in '{file.path}', but class {index} of "
                f"model.panoptic_head, which has {head['num_things_classes']} things, is "
                f"{'stuff' if things[name] else 'a thing'}: list things first, and correct num_things_classes"
            )


def check_annotations(file: CocoFile, cfg: Mapping[str, Any], classes: Sequence[str], where: str, allow: set[str]) -> None:
    """Check that objects and images remain after mmdet's filters.

    Raises:
        UserError: if no object or image remains, mmdet drops many objects, or the same image is listed twice.
    """
    repeated = Counter(name for name, _, _ in file.images.values()).most_common(1)
    if repeated and repeated[0][1] > 1 and "repeated_images" not in allow:
        raise UserError(
            f"{where}: '{file.path}' has image '{repeated[0][0]}' {repeated[0][1]} times, under different ids: keep one; "
            + allow_hint("repeated_images")
        )
    if not len(file.categories):
        raise UserError(f"{where}: '{file.path}' has no annotations: check that it is the right file")
    if file.first_far is not None:
        raise UserError(f"{where}: '{file.path}': {file.first_far}: write boxes as x, y, width, height in pixels")
    for faulty, first, what, name in (
        (file.dropped, file.first_dropped, "are invalid, and mmdet drops them", "dropped_objects"),
        (file.beyond, file.first_beyond, "reach beyond their images", "boxes_beyond"),
    ):
        if first is None:
            continue
        count = f"{int(faulty.sum())} of {len(faulty)} boxes of '{file.path}' {what}; the first: {first}"
        if faulty.mean() >= _MAX_ODD_SHARE and name not in allow:
            raise UserError(f"{where}: {count}; write boxes as x, y, width, height in pixels; {allow_hint(name)}")
        print_log(f"{where}: {count}", "current", logging.WARNING)
    wanted = [category for category, name in file.names.items() if name in set(classes)]
    kept = ~file.dropped & np.isin(file.categories, wanted)
    filters = cfg.get("filter_cfg") or {}
    sides = np.array([min(width, height) for _, width, height in file.images.values()])
    large = sides >= filters.get("min_size", 0)
    # mmdet filters images only in training.
    if cfg.get("test_mode") or not filters:
        large = np.ones_like(large)
    if not large[file.image_index[kept]].any():
        reason = (
            f"all are smaller than filter_cfg.min_size ({filters.get('min_size')})" if kept.any() else "none has a valid object"
        )
        raise UserError(f"{where}: no image of '{file.path}' can be used: {reason}; correct the file or the config")


def check_masks(file: CocoFile, where: str, model: Mapping[str, Any], pipeline: Any = ()) -> None:
    """Check that every object has a valid mask.

    Args:
        file: the annotation file.
        where: part of the config that needs masks, for error messages.
        model: the model's config.
        pipeline: pipeline of the dataset, which may ignore some masks.

    Raises:
        UserError: naming the first invalid mask, or the number of objects without a mask.
    """
    if file.first_mask_fault is not None:
        raise UserError(f"'{file.path}': {file.first_mask_fault}, or remove the annotation; {where} needs masks")
    if file.without_masks:
        raise UserError(
            f"{where} needs masks, and {file.without_masks} of {len(file.categories)} annotations of '{file.path}' have none "
            f"('segmentation' is missing or empty): {boxes_only_hint(model)}"
        )
    if file.rle_masks and any(step.get("poly2mask") is False for step in find_steps(pipeline, "LoadAnnotations")):
        raise UserError(
            f"{where}: '{file.path}' has {file.rle_masks} RLE masks, which LoadAnnotations with poly2mask=False ignores "
            "together with their boxes: remove poly2mask from the pipeline"
        )


def check_image_files(file: CocoFile, cfg: Mapping[str, Any], where: str) -> None:
    """Check that all images exist, and that a sample of them is complete and has the size that the file gives.

    Raises:
        UserError: naming the first image that is missing or does not fit.
    """
    if is_remote(cfg):
        return
    prefixes = cfg.get("data_prefix") or {}
    folder = join(cfg.get("data_root"), prefixes if isinstance(prefixes, str) else prefixes.get("img"))
    paths = {number: join(folder, name) for number, (name, _, _) in file.images.items()}
    _check_exist(list(paths.values()), file, folder, where)
    orient = applies_orientation(cfg)
    for number in sample(list(paths)):
        path, stated = paths[number], file.images[number][1:]
        with naming_image(f"{where}: image '{path}'"):
            size = check_complete(path, orient)
            rotated = orient and size != check_complete(path, orient=False)
        if size != stated:
            raise UserError(f"{where}: image '{path}' {size_conflict(size, stated, rotated)}")
    if file.is_panoptic and not isinstance(prefixes, str) and prefixes.get("seg"):
        _check_segment_files(file, join(cfg.get("data_root"), prefixes["seg"]), where)


def _check_segment_files(file: CocoFile, folder: str, where: str) -> None:
    # mmdet's dataset derives the PNG's name from the image's; the evaluation reads it from the annotation.
    paths = {number: join(folder, name.replace(".jpg", ".png")) for number, (name, _, _) in file.images.items()}
    _check_exist(list(paths.values()), file, folder, where)
    for number in sample(list(paths), 100):
        name, width, height = file.images[number]
        if join(folder, file.segment_files[number]) != paths[number]:
            raise UserError(
                f"{where}: the panoptic PNG of image '{name}' is '{file.segment_files[number]}' in '{file.path}', but mmdet "
                f"reads '{paths[number]}': give the PNG the image's name"
            )
        ids = read_segment_ids(paths[number])
        if ids.shape != (height, width):
            raise UserError(
                f"{where}: panoptic PNG '{paths[number]}' is {ids.shape[1]} x {ids.shape[0]} pixels (width x height), but its "
                f"image is {width} x {height}: make the PNG of the image's size"
            )


def _check_exist(paths: list[str], file: CocoFile, folder: str, where: str) -> None:
    missing = find_missing(paths)
    if len(missing) == len(paths):
        raise UserError(
            f"{where}: none of the {len(paths)} images of '{file.path}' is in '{folder}', such as '{missing[0]}' "
            f"(the folder contains {count_suffixes(folder)}): set data_root and data_prefix, or correct 'file_name'"
        )
    if missing:
        raise UserError(
            f"{where}: image '{missing[0]}' of '{file.path}' does not exist ({len(missing)} of {len(paths)} are missing): "
            "add the missing files, or remove them from the file"
        )
