"""The usual corruptions of images, to see how a model stands them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmbeit3.errors import UserError
from mmbeit3.registry import TRANSFORMS

__all__ = ["CORRUPTIONS", "SEVERITIES", "Corrupt"]

CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
"""The fifteen of ImageNet-C (arXiv 1903.12261): noise, blur, weather, digital."""

SEVERITIES = (1, 2, 3, 4, 5)

_SEEDED = ("impulse_noise", "glass_blur")
"""Those that draw from a generator of their own, which has to be given a seed."""

_LEAST = 32
"""Pixels below which the library has no corruption."""


@TRANSFORMS.register_module()
class Corrupt(BaseTransform):
    """Corrupt a loaded image by ``imagecorruptions``; stands behind the transform that loads it.

    Unlike mmdet's ``Corrupt``, it gives an image the same corruption whenever and in whichever process it is loaded, and shows
    the library RGB, which its colours are meant for.

    Args:
        corruption: one of :data:`CORRUPTIONS`.
        severity: from 1 to 5.
        seed: an image's corruption depends on this and on its file's name, its folder aside.

    Raises:
        UserError: if the library is missing, or has no such corruption.
    """

    def __init__(self, corruption: str, severity: int = 1, seed: int = 0) -> None:
        if corruption not in CORRUPTIONS or severity not in SEVERITIES:
            raise UserError(
                f"corruption '{corruption}' of severity {severity} is unknown: one of {', '.join(CORRUPTIONS)}, from 1 to 5"
            )
        try:
            from imagecorruptions import corrupt
        except ImportError as error:
            raise UserError("corrupting images needs a package: pip install imagecorruptions-imaug") from error
        self._corrupt = corrupt
        self.corruption = corruption
        self.severity = severity
        self.seed = seed

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace ``results['img']``, uint8 (H, W, 3), BGR, or a list of such.

        Raises:
            UserError: if a side is below 32 pixels.
        """
        images, paths = results["img"], results.get("img_path", "")
        if isinstance(images, list):
            results["img"] = [self._one(image, path) for image, path in zip(images, paths, strict=True)]
        else:
            results["img"] = self._one(images, paths)
        return results

    def _one(self, image: np.ndarray, path: Any) -> np.ndarray:
        if min(image.shape[:2]) < _LEAST:
            raise UserError(f"image '{path}' is {image.shape[1]} x {image.shape[0]}: corruptions want {_LEAST} pixels at least")
        words = f"{self.seed} {self.corruption} {self.severity} {Path(str(path)).name}"
        seed = zlib.crc32(words.encode("utf-8", "surrogateescape")) >> 1
        options: dict[str, Any] = {"seed": seed} if self.corruption in _SEEDED else {}
        with _numpy_seed(seed):
            rgb = self._corrupt(
                cv2.cvtColor(image, cv2.COLOR_BGR2RGB), self.severity, corruption_name=self.corruption, **options
            )
        return np.ascontiguousarray(rgb[..., ::-1])


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """NumPy's global generator, which the library draws from, seeded for a while."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
