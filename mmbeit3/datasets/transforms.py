"""Transforms for OpenMMLab's pipelines."""

from __future__ import annotations

from typing import Any

import cv2
from mmcv.transforms import LoadImageFromFile

from mmbeit3.errors import UserError
from mmbeit3.registry import TRANSFORMS

__all__ = ["LoadImageOrFail"]


@TRANSFORMS.register_module()
class LoadImageOrFail(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, with one clear error for a file that is missing, empty, cut off or no image."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load ``results['img_path']``.

        Raises:
            UserError: naming the file.
        """
        try:
            loaded = super().transform(results)
        except FileNotFoundError as error:
            raise UserError(f"image '{results['img_path']}' does not exist") from error
        except (AssertionError, ValueError, OSError, cv2.error) as error:
            raise UserError(f"image '{results['img_path']}' cannot be read: it is damaged or no image") from error
        if loaded is None:
            raise UserError(f"image '{results['img_path']}' cannot be read: it is damaged or no image")
        return loaded
