"""Ground truth of a batch for Mask2Former: labels and masks of the objects of all images in one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbeit3.models.heads.transfer import HostCopy, to_device

__all__ = ["Objects", "PresentClasses", "instance_objects"]


@dataclass(frozen=True)
class Objects:
    """Objects of all images of a batch, image after image. G is their total number.

    Attributes:
        labels: (G,) classes, int64.
        masks: (G, H, W) float32, 0 or 1.
        counts: number of objects of each image.
    """

    labels: Tensor
    masks: Tensor
    counts: tuple[int, ...]

    @property
    def starts(self) -> list[int]:
        """Position of each image's first object."""
        return [sum(self.counts[:image]) for image in range(len(self.counts))]


class PresentClasses:
    """Classes of the pixels of a batch of label maps. The host can do other work until it reads them.

    Args:
        maps: (B, H, W) class of each pixel, an integer dtype.
        first: smallest class to report.
        last: largest class to report, plus 1.
        ignore_index: class that may be in ``maps`` and is not reported. ``None``: any class outside of the range is allowed.
    """

    def __init__(self, maps: Tensor, first: int, last: int, ignore_index: int | None = None) -> None:
        self.maps, self.first, self.count = maps, first, last - first
        classes = maps.flatten(1).long() - first
        outside = self.count  # column of the classes that are not reported
        kinds = classes.where((classes >= 0) & (classes < self.count), outside)
        if ignore_index is not None:
            kinds = kinds.where((kinds != outside) | (classes == ignore_index - first), outside + 1)
        columns = torch.zeros(len(maps), self.count + 2, dtype=torch.bool, device=maps.device)
        self._present = HostCopy(columns.scatter_(1, kinds, value=True))

    def read(self) -> list[list[int]]:
        """Return the classes of each image in ascending order.

        Raises:
            ValueError: if a pixel has a class that is neither in the range nor ``ignore_index``.
        """
        present = self._present.read()
        if present[:, self.count + 1].any():
            last = self.first + self.count - 1
            raise ValueError(
                f"the ground truth has pixels whose class is not in {self.first}..{last} and is not the head's ignore_index: "
                "check num_classes, ignore_index and reduce_zero_label"
            )
        return [[self.first + int(column) for column in row[: self.count].nonzero()[0]] for row in present]

    def objects(self) -> Objects:
        """Return each class of each image as one object."""
        classes = self.read()
        flat = [number for row in classes for number in row]
        images = [image for image, row in enumerate(classes) for _ in row]
        labels, rows = to_device(torch.tensor([flat, images], dtype=torch.long), self.maps.device)
        masks = (self.maps.index_select(0, rows) == labels[:, None, None]).float()
        return Objects(labels, masks, tuple(map(len, classes)))


def instance_objects(instances: Sequence[Any], stuff: PresentClasses | None = None) -> Objects:
    """Return instances, and classes of stuff, as objects.

    Args:
        instances: mmdet's instances of each image with ``labels`` (n,) and ``masks``, whose sides are the same for all images.
        stuff: classes of stuff of the same images for panoptic segmentation.
    """
    device = instances[0].labels.device
    things = [len(image.labels) for image in instances]
    arrays = [image.masks.to_ndarray() for image in instances]
    masks = to_device(torch.from_numpy(np.concatenate(arrays)), device).ne(0).float()
    labels = torch.cat([image.labels for image in instances])
    if stuff is None:
        return Objects(labels, masks, tuple(things))
    extra = stuff.objects()
    images = list(zip(labels.split(things), extra.labels.split(extra.counts), strict=True))
    maps = list(zip(masks.split(things), extra.masks.split(extra.counts), strict=True))
    counts = tuple(a + b for a, b in zip(things, extra.counts, strict=True))
    return Objects(torch.cat([part for pair in images for part in pair]), torch.cat([m for pair in maps for m in pair]), counts)
