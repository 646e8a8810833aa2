"""Loading transforms for OpenMMLab's pipelines, with clear errors for bad files."""

from __future__ import annotations

import contextlib
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine import fileio

from mmbeit3.datasets.labels import IGNORED, LabelCoding, decode_labels
from mmbeit3.datasets.panoptic import read_segment_ids
from mmbeit3.downloads import fetch, is_url
from mmbeit3.errors import UserError
from mmbeit3.images import ImageError, decode_image, image_size, naming_image
from mmbeit3.images.reading import LARGEST_DOWNLOAD
from mmbeit3.registry import TRANSFORMS

__all__ = ["LoadImageOrFail", "LoadLabelImage", "LoadPanopticAnnotations", "label_size_conflict", "size_conflict"]


@TRANSFORMS.register_module()
class LoadImageOrFail(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, with one clear error if a file is missing, empty, truncated or not an image.

    An image whose size differs from its annotations is also an error, because its boxes would be misplaced. Files are decoded
    by :func:`~mmbeit3.images.decode_image`. If the pipeline sets another backend or colour type, that function only checks that
    the file is complete, and mmcv decodes it.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load ``results['img_path']`` and compare its size with ``results['height']`` and ``['width']``, if given.

        Raises:
            UserError: naming the file.
        """
        path = results["img_path"]
        stated = results.get("width"), results.get("height")
        try:
            loaded = self._load(results)
        except FileNotFoundError as error:
            raise UserError(f"image '{path}' does not exist: set data_root and data_prefix, or add the file") from error
        except ImageError as error:
            raise UserError(f"image '{path}' {error}") from error
        except (AssertionError, ValueError, OSError, cv2.error) as error:
            raise UserError(f"image '{path}' cannot be read: it is damaged or not an image; replace or remove it") from error
        if loaded is None:
            raise UserError(f"image '{path}' cannot be read: it is damaged or not an image; replace or remove it")
        height, width = loaded["ori_shape"]
        if None not in stated and stated != (width, height):
            raise UserError(f"image '{path}' {size_conflict((width, height), stated, self._is_rotated(path))}")
        return loaded

    @property
    def _orients(self) -> bool:
        return "ignore_orientation" not in self.color_type

    def _load(self, results: dict[str, Any]) -> dict[str, Any] | None:
        data = _read_file(results["img_path"], self.backend_args)
        pixels = decode_image(data, self._orients)
        if self.imdecode_backend != "cv2" or self.color_type not in ("color", "color_ignore_orientation"):
            pixels = mmcv.imfrombytes(data, flag=self.color_type, backend=self.imdecode_backend)
            if pixels is None:
                return None
        shape = pixels.shape[:2]
        return {
            **results,
            "img": pixels.astype(np.float32) if self.to_float32 else pixels,
            "img_shape": shape,
            "ori_shape": shape,
        }

    def _is_rotated(self, path: str) -> bool:
        with contextlib.suppress(OSError, ImageError):
            return self._orients and image_size(path) != image_size(path, orient=False)
        return False


def _read_file(path: str, backend_args: dict[str, Any] | None) -> bytes:
    """Read a file with MMEngine, or a URL with :func:`~mmbeit3.downloads.fetch`, which has a timeout and a size limit."""
    if backend_args is None and is_url(path):
        return fetch(path, LARGEST_DOWNLOAD)
    return fileio.get(path, backend_args=backend_args)


def size_conflict(size: tuple[int, int], stated: tuple[Any, Any], rotated: bool) -> str:
    """Describe that an image file and its annotations have different sizes, in words that follow the image's name.

    Args:
        size: width and height of the file in pixels.
        stated: width and height in the annotations.
        rotated: True if the file's EXIF orientation swaps width and height.
    """
    message = f"is {size[0]} x {size[1]} pixels (width x height), but its annotations are for {stated[0]} x {stated[1]}: "
    if rotated and size[::-1] == stated:
        return message + (
            "its EXIF orientation rotates it; set color_type='color_ignore_orientation' in every LoadImageFromFile, or make "
            "annotations for the upright image"
        )
    return message + "boxes and masks would be misplaced; correct 'width' and 'height', or use the annotated images"


@TRANSFORMS.register_module()
class LoadLabelImage(BaseTransform):
    """Load a label image like mmseg's ``LoadAnnotations``, with one clear error for an invalid file.

    mmseg casts pixel values to 8 bits, treats colours as labels, and passes on numbers that are not a class. Training crashes
    later, and the evaluation leaves such pixels out of the score.

    Args:
        num_classes: number of the model's classes; None to allow any number up to 255.
        reduce_zero_label: True if 0 means ignored and classes count from 1; None for the dataset's setting.
        ignore_index: a label that the model ignores, in addition to 255.
        backend_args: MMEngine's ``backend_args``, for files that are not local.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        reduce_zero_label: bool | None = None,
        ignore_index: int = IGNORED,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        self.num_classes = IGNORED if num_classes is None else num_classes
        self.reduce_zero_label = reduce_zero_label
        self.ignore_index = ignore_index
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``gt_seg_map`` (H, W), uint8, from ``results['seg_map_path']``. A sample without one is unchanged.

        Raises:
            UserError: if the file is missing or damaged, has several channels, has another size than the image, or has numbers
                that are neither a class nor ignored. The message names the file.
        """
        path = results.get("seg_map_path")
        if path is None:
            return results
        reduce_zero_label = self.reduce_zero_label
        if reduce_zero_label is None:
            reduce_zero_label = bool(results.get("reduce_zero_label", False))
        coding = LabelCoding(self.num_classes, reduce_zero_label, results.get("label_map"), self.ignore_index)
        with naming_image(f"label image '{path}'"):
            labels = coding.encode(decode_labels(_read_file(path, self.backend_args)))
        if "ori_shape" in results and labels.shape != tuple(results["ori_shape"]):
            raise UserError(f"label image '{path}' {label_size_conflict(labels.shape, results['ori_shape'])}")
        results["gt_seg_map"] = labels
        results.setdefault("seg_fields", []).append("gt_seg_map")
        results.setdefault("ignore_index", self.ignore_index)
        return results


def label_size_conflict(shape: tuple[int, ...], image: tuple[int, ...]) -> str:
    """Describe that a label image and its image have different sizes (height, width), in words that follow its name."""
    return (
        f"is {shape[1]} x {shape[0]} pixels (width x height), but its image is {image[1]} x {image[0]}: make the labels of "
        "the image's size (of the upright image, if it has an EXIF orientation)"
    )


@TRANSFORMS.register_module()
class LoadPanopticAnnotations(BaseTransform):
    """Load boxes, masks and the semantic map of a sample of mmdet's ``CocoPanopticDataset``.

    The results are those of mmdet's transform of the same name, which needs ``panopticapi``: for things ``gt_bboxes`` (N, 4),
    ``gt_bboxes_labels`` (N,), ``gt_ignore_flags`` (N,) and ``gt_masks`` (N, H, W); and ``gt_seg_map`` (H, W), each pixel's
    class, or 255 for pixels without a segment. Crowds are only in the map.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the ground truth to a sample. A sample without ``seg_map_path`` gets only boxes.

        Raises:
            UserError: if the PNG is missing or not an image, has another size than the image, or does not contain a segment of
                the annotations.
        """
        from mmdet.structures.bbox import HorizontalBoxes
        from mmdet.structures.mask import BitmapMasks

        # A single image for prediction has no annotations.
        instances = results.get("instances", [])
        boxes = torch.tensor([instance["bbox"] for instance in instances], dtype=torch.float32).reshape(-1, 4)
        results["gt_bboxes"] = HorizontalBoxes(boxes)
        results["gt_bboxes_labels"] = np.array([instance["bbox_label"] for instance in instances], np.int64)
        results["gt_ignore_flags"] = np.array([instance["ignore_flag"] for instance in instances], bool)
        path = results.get("seg_map_path")
        if path is None:
            return results
        ids = read_segment_ids(path)
        if ids.shape != tuple(results["ori_shape"]):
            raise UserError(
                f"panoptic ground truth '{path}' is {ids.shape[1]} x {ids.shape[0]} pixels (width x height), but its image is "
                f"{results['ori_shape'][1]} x {results['ori_shape'][0]}: make the PNG of the image's size"
            )
        classes = np.full(ids.shape, IGNORED, np.int32)
        masks = []
        for segment in results["segments_info"]:
            mask = ids == segment["id"]
            if not mask.any():
                raise UserError(
                    f"panoptic ground truth '{path}' has no pixel of segment {segment['id']}, which is in its annotations: "
                    "correct the PNG, or remove the segment"
                )
            classes[mask] = segment["category"]
            if segment["is_thing"]:
                masks.append(mask.astype(np.uint8))
        results["gt_masks"] = BitmapMasks(masks, *ids.shape)
        results["gt_seg_map"] = classes
        return results
