"""Transforms for OpenMMLab's pipelines."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform, LoadImageFromFile

from mmbeit3.datasets.panoptic import read_segment_ids
from mmbeit3.errors import UserError
from mmbeit3.registry import TRANSFORMS

__all__ = ["LoadImageOrFail", "LoadPanopticAnnotations"]

_IGNORED = 255
"""mmdet's label of pixels that belong to no segment."""


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


@TRANSFORMS.register_module()
class LoadPanopticAnnotations(BaseTransform):
    """Load boxes, masks and the semantic map of a sample of mmdet's ``CocoPanopticDataset``.

    Gives what mmdet's transform of the same name gives, which needs ``panopticapi``: things' ``gt_bboxes`` (N, 4),
    ``gt_bboxes_labels`` (N,), ``gt_ignore_flags`` (N,) and ``gt_masks`` (N, H, W), and ``gt_seg_map`` (H, W), every
    pixel's class, 255 where there is no segment. Crowds are in the map alone.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the ground truth to a sample; one without ``seg_map_path`` gets boxes only.

        Raises:
            UserError: if the PNG is missing, no image, of another size than the image, or lacks a segment of the annotations.
        """
        from mmdet.structures.bbox import HorizontalBoxes
        from mmdet.structures.mask import BitmapMasks

        instances = results["instances"]
        boxes = torch.tensor([instance["bbox"] for instance in instances], dtype=torch.float32).reshape(-1, 4)
        results["gt_bboxes"] = HorizontalBoxes(boxes)
        results["gt_bboxes_labels"] = np.array([instance["bbox_label"] for instance in instances], np.int64)
        results["gt_ignore_flags"] = np.array([instance["ignore_flag"] for instance in instances], bool)
        path = results.get("seg_map_path")
        if path is None:
            return results
        ids = read_segment_ids(path)
        if ids.shape != tuple(results["ori_shape"]):
            raise UserError(f"panoptic ground truth '{path}' is {ids.shape}, but its image {tuple(results['ori_shape'])}")
        classes = np.full(ids.shape, _IGNORED, np.int32)
        masks = []
        for segment in results["segments_info"]:
            mask = ids == segment["id"]
            if not mask.any():
                raise UserError(f"panoptic ground truth '{path}' has no pixel of segment {segment['id']} of its annotations")
            classes[mask] = segment["category"]
            if segment["is_thing"]:
                masks.append(mask.astype(np.uint8))
        results["gt_masks"] = BitmapMasks(masks, *ids.shape)
        results["gt_seg_map"] = classes
        return results
