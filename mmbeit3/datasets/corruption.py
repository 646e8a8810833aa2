"""Image corruptions of ImageNet-C, to measure the robustness of a model."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmbeit3.datasets.corruption_names import CORRUPTIONS, SEVERITIES
from mmbeit3.errors import UserError
from mmbeit3.registry import TRANSFORMS

__all__ = ["CORRUPTIONS", "SEVERITIES", "Corrupt"]


_SEEDED = ("impulse_noise", "glass_blur")
"""Corruptions that create a random generator from their ``seed`` argument. The others use NumPy's global generator."""

_MIN_SIDE = 32
"""Shortest image side in pixels that ``imagecorruptions`` accepts."""


@TRANSFORMS.register_module()
class Corrupt(BaseTransform):
    """Corrupt a loaded image with ``imagecorruptions``. Put it after the transform that loads the image.

    Unlike mmdet's ``Corrupt``, it corrupts an image in the same way in every run and process, and passes RGB to the library,
    which expects RGB.

    Args:
        corruption: one of :data:`CORRUPTIONS`.
        severity: from 1 to 5.
        seed: seed of the corruption, combined with the image's file name without its folder.

    Raises:
        UserError: if the library is not installed, or the corruption or severity is unknown.
    """

    def __init__(self, corruption: str, severity: int = 1, seed: int = 0) -> None:
        if corruption not in CORRUPTIONS or severity not in SEVERITIES:
            raise UserError(
                f"corruption '{corruption}' of severity {severity} is unknown: give one of {', '.join(CORRUPTIONS)} and 1 to 5"
            )
        try:
            from imagecorruptions import corrupt
        except ImportError as error:
            raise UserError("Corrupt needs a package that is not installed: pip install imagecorruptions-imaug") from error
        self._corrupt = corrupt
        self.corruption = corruption
        self.severity = severity
        self.seed = seed

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace ``results['img']``, uint8 (H, W, 3), BGR, or a list of such images.

        Raises:
            UserError: if a side is shorter than 32 pixels.
        """
        images, paths = results["img"], results.get("img_path", "")
        if isinstance(images, list):
            results["img"] = [self._corrupt_image(image, path) for image, path in zip(images, paths, strict=True)]
        else:
            results["img"] = self._corrupt_image(images, paths)
        return results

    def _corrupt_image(self, image: np.ndarray, path: Any) -> np.ndarray:
        if min(image.shape[:2]) < _MIN_SIDE:
            raise UserError(
                f"image '{path}' is {image.shape[1]} x {image.shape[0]}: corruptions need sides of at least {_MIN_SIDE} pixels"
            )
        key = f"{self.seed} {self.corruption} {self.severity} {Path(str(path)).name}"
        # 31 bits, a seed that both NumPy and numba accept.
        seed = zlib.crc32(key.encode("utf-8", "surrogateescape")) >> 1
        options: dict[str, Any] = {"seed": seed} if self.corruption in _SEEDED else {}
        with _numpy_seed(seed):
            rgb = self._corrupt(
                cv2.cvtColor(image, cv2.COLOR_BGR2RGB), self.severity, corruption_name=self.corruption, **options
            )
        return np.ascontiguousarray(rgb[..., ::-1])


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, which the library uses, and restore its state afterwards."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
