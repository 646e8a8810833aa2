"""Images on their way to a detector or segmentor: its test pipeline, and batches of images of one size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS, DefaultScope

from mmbeit3.datasets.checks.pipelines import applies_orientation, type_name
from mmbeit3.errors import UserError, one_line
from mmbeit3.images import ImageInput, read_pixels
from mmbeit3.inference.sources import Source

__all__ = ["ImagePipeline", "Job", "check_image_loading", "in_batches"]

_BUCKETS_AHEAD = 8
"""Number of batches of waiting images, of several sizes, after which the oldest one is predicted although it is not full."""
_IMAGE_LOADERS = ("LoadImageFromFile", "LoadImageFromNDArray", "LoadImageOrFail")
_OTHER_LOADERS = ("LoadBiomedicalData", "LoadProposals")
"""Transforms of mmseg and mmdet that load what cannot be read from an image file."""


@dataclass(eq=False)
class Job:
    """An image on its way to its result.

    Attributes:
        source: the image as given.
        pixels: uint8 (H, W, 3), BGR.
        data: the transformed image; None if it is to be cut into windows.
        number: number among the images that can be read.
    """

    source: Source
    pixels: np.ndarray
    data: dict[str, Any] | None
    number: int = 0


def in_batches(jobs: Iterator[Job], size: int) -> Iterator[list[Job]]:
    """Collect images of one size to batches. Images to be cut into windows are batches of their own."""
    buckets: dict[tuple[int, ...], list[Job]] = {}
    for job in jobs:
        if job.data is None:
            yield [job]
            continue
        shape = tuple(job.data["inputs"].shape)
        buckets.setdefault(shape, []).append(job)
        if len(buckets[shape]) == size:
            yield buckets.pop(shape)
        elif sum(map(len, buckets.values())) >= _BUCKETS_AHEAD * size:
            yield buckets.pop(min(buckets, key=lambda key: buckets[key][0].number))
    yield from buckets.values()


class ImagePipeline:
    """The test pipeline of a detector or segmentor, for images that are given in any form.

    Args:
        dataset: config of the test dataset.
        cfg: the whole config.

    Attributes:
        upright: True if images are rotated upright by their EXIF orientation.
        grey: True if the model gets one channel.

    Raises:
        UserError: if there is no test pipeline, it cannot be built, or it loads images in another way than as colours or grey.
    """

    def __init__(self, dataset: Mapping[str, Any], cfg: Config) -> None:
        self.upright, self.grey = check_image_loading(dataset)
        steps = [step for step in dataset.get("pipeline") or () if not type_name(step).startswith("Load")]
        if not steps:
            raise UserError("the config has no test pipeline: set test_dataloader.dataset.pipeline")
        try:
            with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmengine"):
                self._transform = Compose([TRANSFORMS.build(step) for step in steps])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"the test pipeline of the config cannot be built: {one_line(error)}") from error

    def read(self, image: ImageInput) -> np.ndarray:
        """Return the pixels of an image, uint8 (H, W, 3), BGR, in the orientation of the pipeline.

        Raises:
            UserError: if it cannot be read.
        """
        return read_pixels(image, self.upright)

    def __call__(self, pixels: np.ndarray, path: str | None = None) -> dict[str, Any]:
        """Apply the transforms to pixels, uint8 (H, W, 3), BGR."""
        size = pixels.shape[:2]
        image = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if self.grey else pixels
        data = {"img": image, "img_path": path or "", "img_id": 0, "img_shape": size, "ori_shape": size}
        prepared: dict[str, Any] = self._transform(data)
        return prepared


def check_image_loading(dataset: Mapping[str, Any]) -> tuple[bool, bool]:
    """Check that predictions can load images as a test dataset does.

    Returns:
        True if images are rotated upright by their EXIF orientation, and True if they are grey.

    Raises:
        UserError: naming the transform or setting that is not supported.
    """
    grey = False
    for step in dataset.get("pipeline") or ():
        name = type_name(step)
        if name in _IMAGE_LOADERS:
            colours, backend = step.get("color_type", "color"), step.get("imdecode_backend")
            if colours.removesuffix("_ignore_orientation") not in ("color", "grayscale"):
                raise UserError(f"the test pipeline has color_type='{colours}': predictions support 'color' and 'grayscale'")
            if backend == "tifffile":
                raise UserError(
                    f"the test pipeline has imdecode_backend='{backend}': predictions support images of 8 bits only"
                )
            grey = colours.startswith("grayscale")
        elif name in _OTHER_LOADERS or (name.startswith("Load") and "Image" in name and "Label" not in name):
            raise UserError(f"the test pipeline has {name}: predictions support images of LoadImageFromFile only")
    return applies_orientation(dataset), grey
