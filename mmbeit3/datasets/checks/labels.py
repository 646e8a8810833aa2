"""Whether label images of semantic segmentation fit their images and a config's classes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmbeit3.datasets.checks.allowed import switch
from mmbeit3.datasets.checks.files import budget, check_whole, count_suffixes, find_missing, is_remote, sample
from mmbeit3.datasets.checks.pipelines import find_steps
from mmbeit3.datasets.labels import IGNORED, LabelCoding, decode_labels
from mmbeit3.datasets.transforms import label_size_conflict
from mmbeit3.errors import UserError, one_line
from mmbeit3.images import ImageError, naming_image, walk_files
from mmbeit3.images.folders import is_image_name

__all__ = ["check_label_images", "check_reducing", "ignore_index"]


def ignore_index(model: Mapping[str, Any]) -> int:
    """The label that a segmentor's heads ignore."""
    head = model.get("decode_head")
    heads = head if isinstance(head, list | tuple) else [head]
    return next((one["ignore_index"] for one in heads if isinstance(one, Mapping) and "ignore_index" in one), IGNORED)


def check_reducing(cfg: Mapping[str, Any], dataset: Any, where: str, tta: Any = None) -> None:
    """Check that ``reduce_zero_label`` is the same in a dataset and its pipelines; mmseg finds a difference in training.

    Args:
        cfg: the dataset's config.
        dataset: the dataset itself.
        where: what to call it.
        tta: the pipeline of test-time augmentation.

    Raises:
        UserError: if it is not.
    """
    for step in find_steps([cfg, tta], "LoadAnnotations"):
        said = step.get("reduce_zero_label")
        if said is not None and said != dataset.reduce_zero_label:
            raise UserError(
                f"{where}: the dataset has reduce_zero_label={dataset.reduce_zero_label} and LoadAnnotations of its pipeline "
                f"{said}: set it in the dataset alone"
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
    """Check that images and label images are there, and a sample of both: sizes, channels, and what the numbers mean.

    Args:
        cfg: config of a dataset of mmseg's.
        kind: its class.
        classes: names of its classes.
        where: what to call it.
        model: the model's config.
        allow: what the config does on purpose.
        tta: the pipeline of test-time augmentation.

    Raises:
        UserError: naming the first file that does not fit, and what to do.
    """
    if len(classes) == 1:
        raise UserError(
            f"{where} has one class, '{classes[0]}', which every pixel would be of: name the background as a class as well "
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
            f"{where}: no image ends in '{dataset.img_suffix}' in '{folder}', which holds {count_suffixes(folder)}: set "
            "img_suffix (and seg_map_suffix for the labels), or data_prefix"
        )
    check_reducing(cfg, dataset, where, tta)
    images = [str(entry["img_path"]) for entry in entries]
    labels = [str(entry["seg_map_path"]) for entry in entries if entry.get("seg_map_path")]
    for paths, what in ((images, "image"), (labels, "label image")):
        if missing := find_missing(paths):
            raise UserError(
                f"{where}: {what} '{missing[0]}' does not exist ({len(missing)} of {len(paths)} are missing): set data_prefix "
                "and the suffixes, or complete the data"
            )
    _log_unused(dataset, images, labels, where)
    if not labels:
        if next(find_steps(cfg, "LoadAnnotations"), None) is not None:
            raise UserError(f"{where} has no folder of label images: set data_prefix=dict(img_path=..., seg_map_path=...)")
        return
    coding = LabelCoding(len(classes), bool(dataset.reduce_zero_label), dataset.label_map, ignore_index(model))
    pairs = list(zip(images, labels, strict=True))
    with naming_image(f"{where}: label image '{labels[0]}'"):
        looked_at = sample(pairs, budget(labels[0]))
    found = _look_at(looked_at, cfg, coding, where)
    _check_found(found, coding, classes, labels[0], where)
    if len(looked_at) == len(pairs) and "zero_label" not in allow and "train" in where:
        _check_zero_label(found, coding, classes, labels[0], where)


def _log_unused(dataset: Any, images: Sequence[str], labels: Sequence[str], where: str) -> None:
    """Log which images and label images mmseg leaves aside without a word, because of their names or for want of the other."""
    for kind, used in (("img_path", images), ("seg_map_path", labels)):
        folder = dataset.data_prefix.get(kind)
        if not used or not folder or dataset.ann_file:
            continue
        known = {Path(path).name for path in used}
        names = sorted(name.rpartition("/")[2] for name in walk_files(folder))
        unused = [name for name in names if is_image_name(name) and name not in known]
        if unused:
            what = "images" if kind == "img_path" else "label images"
            print_log(
                f"{where}: {len(unused)} files in '{folder}' are not used, such as '{unused[0]}': {what} end in "
                f"'{dataset.img_suffix if kind == 'img_path' else dataset.seg_map_suffix}', and each needs the other",
                "current",
                logging.WARNING,
            )


def _look_at(pairs: list[tuple[str, str]], cfg: Mapping[str, Any], coding: LabelCoding, where: str) -> np.ndarray:
    """Check images and their labels; returns how often each number is in the label images (256,)."""
    orient = all("ignore_orientation" not in step.get("color_type", "") for step in find_steps(cfg, "LoadImageFromFile"))
    found = np.zeros(IGNORED + 1, np.int64)
    for image, label in pairs:
        with naming_image(f"{where}: image '{image}'"):
            width, height = check_whole(image, orient)
        with naming_image(f"{where}: label image '{label}'"):
            values = decode_labels(Path(label).read_bytes())
            if values.shape != (height, width):
                raise ImageError(label_size_conflict(values.shape, (height, width)))
            coding.encode(values)
        found += np.bincount(values.ravel(), minlength=IGNORED + 1)[: IGNORED + 1]
    return found


def _check_found(found: np.ndarray, coding: LabelCoding, classes: Sequence[str], label: str, where: str) -> None:
    """What no single label image shows."""
    numbers = np.flatnonzero(found)
    meant = coding.encode(numbers[None])[0]
    folder = Path(label).parent
    if (meant == IGNORED).all():
        raise UserError(
            f"{where}: the label images in '{folder}' have only the numbers {_listed(numbers)}, which all mean ignored: "
            f"number the classes from {int(coding.reduce_zero_label)}"
        )
    if set(numbers.tolist()) == {0, IGNORED} and len(classes) == 2 and not coding.reduce_zero_label:
        raise UserError(
            f"{where}: the label images in '{folder}' have only 0 and {IGNORED}, and {IGNORED} means ignored: write 1 for "
            f"'{classes[1]}'"
        )


def _check_zero_label(found: np.ndarray, coding: LabelCoding, classes: Sequence[str], label: str, where: str) -> None:
    """Where all label images were looked at: whether classes count from 0, although ``reduce_zero_label`` says from 1."""
    last = len(classes) if coding.label_map is None else len(coding.label_map)
    if coding.reduce_zero_label and found[0] and not found[last]:
        raise UserError(
            f"{where}: reduce_zero_label drops the number 0 and makes {last} the last class, but no label image in "
            f"'{Path(label).parent}' has {last}: if 0 is a class, set reduce_zero_label=False; {switch('zero_label')}"
        )


def _listed(numbers: np.ndarray) -> str:
    return ", ".join(map(str, numbers[:5].tolist())) + (", ..." if len(numbers) > 5 else "")
