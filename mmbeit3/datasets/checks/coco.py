"""Whether a COCO file, a config's classes and the images fit each other."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmbeit3.datasets.checks.allowed import switch
from mmbeit3.datasets.checks.files import check_whole, count_suffixes, find_missing, is_remote, join, sample
from mmbeit3.datasets.checks.heads import trains_masks_on_boxes
from mmbeit3.datasets.checks.pipelines import find_steps
from mmbeit3.datasets.coco_file import CocoFile
from mmbeit3.datasets.panoptic import read_segment_ids
from mmbeit3.datasets.transforms import size_conflict
from mmbeit3.errors import UserError
from mmbeit3.images import naming_image

__all__ = ["check_annotations", "check_classes", "check_image_files", "check_masks", "check_things"]

_MOST_ODD = 0.25
"""Share of odd boxes from which on they are no accident. COCO itself has a handful."""


def check_classes(file: CocoFile, classes: Sequence[str], where: str, allow: set[str], by_id: bool = False) -> None:
    """Check that labels will mean the config's classes.

    mmdet numbers labels in the order of the file's categories; names and colours go by the config's classes.

    Args:
        file: the annotation file.
        classes: the config's.
        where: who reads the file.
        allow: what the config does on purpose.
        by_id: whether the reader sorts categories by their ids first.

    Raises:
        UserError: if annotations would be dropped, or a class has no category, or the orders differ.
    """
    if lacking := [name for name in file.used_names() if name not in classes]:
        if "other_categories" not in allow:
            raise UserError(
                f"{where}: '{file.path}' has annotations of {_some(lacking)}, which the config's classes lack: add them to "
                f"metainfo.classes (and num_classes), or they would be dropped; {switch('other_categories')}"
            )
        print_log(f"{where}: annotations of {_some(lacking)} are left out, as the config allows", "current")
    names = set(file.names.values())
    if missing := [name for name in classes if name not in names]:
        raise UserError(
            f"{where}: the config's classes {_some(missing)} are not among the categories of '{file.path}': "
            f"set metainfo=dict(classes=...) to the file's names, {_some(list(file.names.values()), 12)}"
        )
    ordered = sorted(file.names) if by_id else list(file.names)
    found = [file.names[number] for number in ordered if file.names[number] in set(classes)]
    if found != list(classes):
        place = next(i for i, (ours, theirs) in enumerate(zip(classes, found, strict=True)) if ours != theirs)
        order = "by id" if by_id else "in the order of the file's categories"
        raise UserError(
            f"{where}: mmdet numbers labels {order}, and class number {place} is '{found[place]}' in '{file.path}', but "
            f"'{classes[place]}' in the config's classes: every class would get another's name; write metainfo.classes in "
            "the file's order, or bring the file's categories into that of the classes"
        )


def check_things(file: CocoFile, classes: Sequence[str], model: Mapping[str, Any], where: str) -> None:
    """Check that a panoptic model takes for things what the file calls things: its first labels.

    Raises:
        UserError: naming the first class for which it does not.
    """
    head = model.get("panoptic_head")
    if not isinstance(head, Mapping) or "num_things_classes" not in head:
        return
    things = {file.names[number]: isthing for number, isthing in file.things.items()}
    for place, name in enumerate(classes):
        if things[name] != (place < head["num_things_classes"]):
            raise UserError(
                f"{where}: '{name}' is {'a thing' if things[name] else 'stuff'} in '{file.path}', but class number {place} of "
                f"model.panoptic_head with {head['num_things_classes']} things is not: put things first, and count them right"
            )


def check_annotations(file: CocoFile, cfg: Mapping[str, Any], classes: Sequence[str], where: str, allow: set[str]) -> None:
    """Check that something is left to train or test on, after what mmdet leaves out.

    Raises:
        UserError: if no object or image is left, many objects are left out, or the same image is there twice.
    """
    repeated = Counter(name for name, _, _ in file.images.values()).most_common(1)
    if repeated and repeated[0][1] > 1 and "repeated_images" not in allow:
        raise UserError(
            f"{where}: '{file.path}' has image '{repeated[0][0]}' {repeated[0][1]} times, under different ids: keep one; "
            + switch("repeated_images")
        )
    if not len(file.categories):
        raise UserError(f"{where}: '{file.path}' has no annotations: is it the right file?")
    if file.first_far is not None:
        raise UserError(f"{where}: '{file.path}': {file.first_far}: COCO's boxes are x, y, width, height in pixels")
    for which, first, what, name in (
        (file.dropped, file.first_dropped, "cannot be used, and mmdet drops them", "dropped_objects"),
        (file.beyond, file.first_beyond, "reach beyond their images", "boxes_beyond"),
    ):
        if first is None:
            continue
        count = f"{int(which.sum())} of {len(which)} boxes of '{file.path}' {what}; the first: {first}"
        if which.mean() >= _MOST_ODD and name not in allow:
            raise UserError(f"{where}: {count}; COCO's boxes are x, y, width, height in pixels; {switch(name)}")
        print_log(f"{where}: {count}", "current", logging.WARNING)
    wanted = [number for number, name in file.names.items() if name in set(classes)]
    kept = ~file.dropped & np.isin(file.categories, wanted)
    filters = cfg.get("filter_cfg") or {}
    sides = np.array([min(width, height) for _, width, height in file.images.values()])
    large = sides >= filters.get("min_size", 0)
    if cfg.get("test_mode") or not filters:
        large = np.ones_like(large)
    if not large[file.image_index[kept]].any():
        reason = (
            f"all are smaller than filter_cfg.min_size ({filters.get('min_size')})"
            if kept.any()
            else "none has a usable object"
        )
        raise UserError(f"{where}: no image of '{file.path}' is left to use: {reason}")


def check_masks(file: CocoFile, where: str, model: Mapping[str, Any], pipeline: Any = ()) -> None:
    """Check that every object has a mask that can be used.

    Args:
        file: the annotation file.
        where: who wants masks.
        model: the model's config.
        pipeline: the dataset's, which may leave out some masks.

    Raises:
        UserError: naming the first object whose mask cannot be used, or saying how many have none.
    """
    if file.first_mask_fault is not None:
        raise UserError(f"'{file.path}': {file.first_mask_fault}; {where} needs masks: mend it, or remove the annotation")
    if file.without_masks:
        raise UserError(
            f"{where} needs masks, and {file.without_masks} of {len(file.categories)} annotations of '{file.path}' have none "
            f"('segmentation' is missing or empty): {trains_masks_on_boxes(model)}"
        )
    if file.encoded and any(step.get("poly2mask") is False for step in find_steps(pipeline, "LoadAnnotations")):
        raise UserError(
            f"{where}: '{file.path}' has {file.encoded} masks in RLE, which LoadAnnotations ignores, with their boxes, where "
            "poly2mask=False: remove that from the pipeline"
        )


def check_image_files(file: CocoFile, cfg: Mapping[str, Any], where: str) -> None:
    """Check that all images are there, and that a sample of them can be read and has the size that the file states.

    Raises:
        UserError: naming the first image that is missing or does not fit.
    """
    if is_remote(cfg):
        return
    prefixes = cfg.get("data_prefix") or {}
    folder = join(cfg.get("data_root"), prefixes if isinstance(prefixes, str) else prefixes.get("img"))
    paths = {number: join(folder, name) for number, (name, _, _) in file.images.items()}
    _refuse_missing(list(paths.values()), file, folder, where)
    orient = all("ignore_orientation" not in step.get("color_type", "") for step in find_steps(cfg, "LoadImageFromFile"))
    for number in sample(list(paths)):
        path, stated = paths[number], file.images[number][1:]
        with naming_image(f"{where}: image '{path}'"):
            size = check_whole(path, orient)
            turned = orient and size != check_whole(path, orient=False)
        if size != stated:
            raise UserError(f"{where}: image '{path}' {size_conflict(size, stated, turned)}")
    if file.is_panoptic and not isinstance(prefixes, str) and prefixes.get("seg"):
        _check_segment_files(file, join(cfg.get("data_root"), prefixes["seg"]), where)


def _check_segment_files(file: CocoFile, folder: str, where: str) -> None:
    # mmdet takes the image's name for the PNG's, the evaluation the annotation's.
    paths = {number: join(folder, name.replace(".jpg", ".png")) for number, (name, _, _) in file.images.items()}
    _refuse_missing(list(paths.values()), file, folder, where)
    for number in sample(list(paths), 100):
        name, width, height = file.images[number]
        if join(folder, file.segment_files[number]) != paths[number]:
            raise UserError(
                f"{where}: the panoptic PNG of image '{name}' is '{file.segment_files[number]}' in '{file.path}', but mmdet "
                f"reads '{paths[number]}': give it the image's name"
            )
        ids = read_segment_ids(paths[number])
        if ids.shape != (height, width):
            raise UserError(
                f"{where}: panoptic PNG '{paths[number]}' is {ids.shape[1]} x {ids.shape[0]} pixels (width x height), but its "
                f"image {width} x {height}"
            )


def _refuse_missing(paths: list[str], file: CocoFile, folder: str, where: str) -> None:
    missing = find_missing(paths)
    if len(missing) == len(paths):
        raise UserError(
            f"{where}: none of the {len(paths)} images of '{file.path}' is in '{folder}' (it holds {count_suffixes(folder)}): "
            f"the first is '{missing[0]}'; set data_root and data_prefix, or mend 'file_name'"
        )
    if missing:
        raise UserError(
            f"{where}: image '{missing[0]}' of '{file.path}' does not exist ({len(missing)} of {len(paths)} are missing): "
            "complete the data"
        )


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
