"""Checks that label images of semantic segmentation fit their images and a config's classes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmbeit3.datasets.annotations import find_missing
from mmbeit3.datasets.checks.allowed import allow_hint
from mmbeit3.datasets.checks.files import check_complete, count_suffixes, is_remote, sample, sample_size
from mmbeit3.datasets.checks.pipelines import applies_orientation, find_steps
from mmbeit3.datasets.labels import IGNORED, LabelCoding, decode_labels
from mmbeit3.datasets.transforms import label_size_conflict
from mmbeit3.errors import UserError, list_first, one_line
from mmbeit3.images import ImageError, naming_image, walk_files
from mmbeit3.images.folders import is_image_name

__all__ = ["check_label_images", "check_reduce_zero_label", "ignore_index"]


def ignore_index(model: Mapping[str, Any]) -> int:
    """Return the label that a segmentor's heads ignore."""
    head = model.get("decode_head")
    heads = head if isinstance(head, list | tuple) else [head]
    return next((one["ignore_index"] for one in heads if isinstance(one, Mapping) and "ignore_index" in one), IGNORED)


def check_reduce_zero_label(cfg: Mapping[str, Any], dataset: Any, where: str, tta: Any = None) -> None:
    """Check that ``reduce_zero_label`` is the same in a dataset and its pipelines. mmseg reports a difference only in training.

    Args:
        cfg: the dataset's config.
        dataset: the dataset.
        where: name of the dataset, for the error message.
        tta: the pipeline of test-time augmentation.

    Raises:
        UserError: if they differ.
    """
    for step in find_steps([cfg, tta], "LoadAnnotations"):
        in_step = step.get("reduce_zero_label")
        if in_step is not None and in_step != dataset.reduce_zero_label:
            raise UserError(
                f"{where}: the dataset has reduce_zero_label={dataset.reduce_zero_label} but LoadAnnotations of its pipeline "
                f"has {in_step}: set it only in the dataset"
            )


def check_label_images(
    cfg: Mapping[str, Any],
    kind: type,
    classes: Sequence[str],
    where: str,
    model: Mapping[str, Any],
    allow: set[str],
    tta: Any = None,
) -> None:
    """Check that images and label images exist, and the sizes, channels and class numbers of a sample.

    Args:
        cfg: config of an mmseg dataset.
        kind: class of the dataset.
        classes: names of its classes.
        where: name of the dataset, for error messages.
        model: the model's config.
        allow: exceptions that the config allows.
        tta: the pipeline of test-time augmentation.

    Raises:
        UserError: naming the first file that does not fit, and what to do.
    """
    if len(classes) == 1:
        raise UserError(
            f"{where} has only the class '{classes[0]}', so every pixel would get it: add the background as a class "
            "(two classes, 0 and 1 in the label images)"
        )
    if is_remote(cfg):
        return
    options = {
        key: value for key, value in cfg.items() if key not in ("type", "pipeline", "lazy_init", "serialize_data", "indices")
    }
    try:
        dataset = kind(**options, pipeline=[], serialize_data=False)
        entries = dataset.data_list
    except (ValueError, TypeError, KeyError, AssertionError, OSError) as error:
        raise UserError(f"{where} cannot be built: {one_line(error)}") from error
    if not entries:
        folder = dataset.data_prefix.get("img_path")
        raise UserError(
            f"{where}: no image ends in '{dataset.img_suffix}' in '{folder}', which contains {count_suffixes(folder)}: set "
            "img_suffix (and seg_map_suffix for the labels), or data_prefix"
        )
    check_reduce_zero_label(cfg, dataset, where, tta)
    images = [str(entry["img_path"]) for entry in entries]
    labels = [str(entry["seg_map_path"]) for entry in entries if entry.get("seg_map_path")]
    for paths, what in ((images, "image"), (labels, "label image")):
        if missing := find_missing(paths):
            raise UserError(
                f"{where}: {what} '{missing[0]}' does not exist ({len(missing)} of {len(paths)} are missing): set data_prefix, "
                "img_suffix and seg_map_suffix, or add the missing files"
            )
    _log_unused(dataset, images, labels, where)
    if not labels:
        if next(find_steps(cfg, "LoadAnnotations"), None) is not None:
            raise UserError(f"{where} has no folder of label images: set data_prefix=dict(img_path=..., seg_map_path=...)")
        return
    coding = LabelCoding(len(classes), bool(dataset.reduce_zero_label), dataset.label_map, ignore_index(model))
    pairs = list(zip(images, labels, strict=True))
    with naming_image(f"{where}: label image '{labels[0]}'"):
        checked = sample(pairs, sample_size(labels[0]))
    counts = _count_numbers(checked, cfg, coding, where)
    _check_numbers(counts, coding, classes, labels[0], where)
    # A sample cannot show that a class never occurs.
    if len(checked) == len(pairs) and "zero_label" not in allow and "train" in where:
        _check_zero_label(counts, coding, classes, labels[0], where)


def _log_unused(dataset: Any, images: Sequence[str], labels: Sequence[str], where: str) -> None:
    """Log the files that mmseg skips without a message: images of another suffix, and label images without an image."""
    for kind, used in (("img_path", images), ("seg_map_path", labels)):
        folder = dataset.data_prefix.get(kind)
        if not used or not folder or dataset.ann_file:
            continue
        known = {Path(path).name for path in used}
        names = sorted(name.rpartition("/")[2] for name in walk_files(folder))
        unused = [name for name in names if is_image_name(name) and name not in known]
        if unused:
            rule = f"images must end in '{dataset.img_suffix}'"
            if kind == "seg_map_path":
                rule = f"label images must have the name of an image and end in '{dataset.seg_map_suffix}'"
            print_log(
                f"{where}: {len(unused)} files in '{folder}' are not used, such as '{unused[0]}': {rule}",
                "current",
                logging.WARNING,
            )


def _count_numbers(pairs: list[tuple[str, str]], cfg: Mapping[str, Any], coding: LabelCoding, where: str) -> np.ndarray:
    """Check images and their labels. Return the number of pixels of each class number in the label images, int64 (256,)."""
    orient = applies_orientation(cfg)
    counts = np.zeros(IGNORED + 1, np.int64)
    for image, label in pairs:
        with naming_image(f"{where}: image '{image}'"):
            width, height = check_complete(image, orient)
        with naming_image(f"{where}: label image '{label}'"):
            values = decode_labels(Path(label).read_bytes())
            if values.shape != (height, width):
                raise ImageError(label_size_conflict(values.shape, (height, width)))
            coding.encode(values)
        counts += np.bincount(values.ravel(), minlength=IGNORED + 1)[: IGNORED + 1]
    return counts


def _check_numbers(counts: np.ndarray, coding: LabelCoding, classes: Sequence[str], label: str, where: str) -> None:
    """Check for faults that only show in all label images together."""
    numbers = np.flatnonzero(counts)
    encoded = coding.encode(numbers[None])[0]
    folder = Path(label).parent
    if (encoded == IGNORED).all():
        raise UserError(
            f"{where}: the label images in '{folder}' have only the numbers {list_first(numbers)}, which all mean ignored: "
            f"number the classes from {int(coding.reduce_zero_label)}"
        )
    if set(numbers.tolist()) == {0, IGNORED} and len(classes) == 2 and not coding.reduce_zero_label:
        raise UserError(
            f"{where}: the label images in '{folder}' have only 0 and {IGNORED}, and {IGNORED} means ignored: write 1 "
            f"instead of {IGNORED} for '{classes[1]}'"
        )


def _check_zero_label(counts: np.ndarray, coding: LabelCoding, classes: Sequence[str], label: str, where: str) -> None:
    """Check that classes do not count from 0 although ``reduce_zero_label`` is set. Needs the counts of all label images.

    mmseg's ``reduce_zero_label`` turns 0 into ignored and subtracts 1 from the others. If 0 is used and the last number never
    is, the files probably count from 0.
    """
    last = len(classes) if coding.label_map is None else len(coding.label_map)
    if coding.reduce_zero_label and counts[0] and not counts[last]:
        raise UserError(
            f"{where}: reduce_zero_label ignores the number 0 and makes {last} the last class, but no label image in "
            f"'{Path(label).parent}' has {last}: if 0 is a class, set reduce_zero_label=False; {allow_hint('zero_label')}"
        )
