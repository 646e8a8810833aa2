"""Results of an inspection."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

__all__ = ["ClassCount", "Example", "FolderReport", "SplitReport"]


@dataclass
class ClassCount:
    """Counts of a class in a split.

    Attributes:
        images: images with the class.
        objects: its objects; for label images, its pixels.
    """

    images: int = 0
    objects: int = 0


@dataclass
class Example:
    """An image of the contact sheet with its ground truth.

    Attributes:
        path: the image.
        boxes: float (N, 4), x0, y0, x1, y1 in pixels.
        labels: int (N,), indices of the classes.
        segmentations: one COCO segmentation per box (polygons or run-length encoding); empty if a mask is missing or invalid.
        label_image: file of the labels of each pixel, for semantic segmentation.
        title: text below the image; the name of the file if empty.
    """

    path: Path
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    segmentations: list[object] = field(default_factory=list)
    label_image: Path | None = None
    title: str = ""


@dataclass
class SplitReport:
    """Contents of a split.

    Attributes:
        name: ``train``, ``val``, or the name of the annotation file.
        images: number of images.
        sizes: width and height in pixels of the images that could be read, int (N, 2).
        classes: class name to its counts.
        empty: images without an object, or without a label other than ignored.
        object_sides: square root of width times height of each object's box in pixels (N,).
        object_areas: area in pixels of each object, as COCO's evaluation uses it (N,).
        with_masks: objects that have a mask.
        ignored: pixels that are ignored.
        hashes: hash of each file's content to its name, relative to the folder of images.
        examples: images for the contact sheet.
    """

    name: str
    images: int = 0
    sizes: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), int))
    classes: dict[str, ClassCount] = field(default_factory=dict)
    empty: int = 0
    object_sides: np.ndarray = field(default_factory=lambda: np.zeros(0))
    object_areas: np.ndarray = field(default_factory=lambda: np.zeros(0))
    with_masks: int = 0
    ignored: int = 0
    hashes: dict[str, str] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    @property
    def objects(self) -> int:
        """Number of objects."""
        return len(self.object_areas)


@dataclass
class FolderReport:
    """Contents of a folder.

    Attributes:
        root: the folder.
        kind: ``coco``, ``labels``, ``classes`` or ``images``.
        splits: its splits.
        classes: class names, in the order of their labels.
        faults: one line per fault.
        notes: one line per remark that is not a fault.
        reduce_zero_label: True if classes of label images count from 1.
        advice: the command to run next, or what to do.
    """

    root: Path
    kind: str
    splits: list[SplitReport] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reduce_zero_label: bool = False
    advice: str = ""
