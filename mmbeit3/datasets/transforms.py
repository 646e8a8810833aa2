"""Transforms for OpenMMLab's pipelines."""

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
    """mmcv's ``LoadImageFromFile``, with one clear error for a file that is missing, empty, cut off or no image.

    An image of another size than its annotations say is an error as well: boxes would be elsewhere. Files are decoded by
    :func:`~mmbeit3.images.decode_image`; where the pipeline asks for another backend or colour type, this looks whether they
    are whole, and mmcv decodes.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load ``results['img_path']`` and compare it with ``results['height']`` and ``['width']`` where these are there.

        Raises:
            UserError: naming the file.
        """
        path = results["img_path"]
        stated = results.get("width"), results.get("height")
        try:
            loaded = self._load(results)
        except FileNotFoundError as error:
            raise UserError(f"image '{path}' does not exist") from error
        except ImageError as error:
            raise UserError(f"image '{path}' {error}") from error
        except (AssertionError, ValueError, OSError, cv2.error) as error:
            raise UserError(f"image '{path}' cannot be read: it is damaged or no image") from error
        if loaded is None:
            raise UserError(f"image '{path}' cannot be read: it is damaged or no image")
        height, width = loaded["ori_shape"]
        if None not in stated and stated != (width, height):
            raise UserError(f"image '{path}' {size_conflict((width, height), stated, self._is_turned(path))}")
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

    def _is_turned(self, path: str) -> bool:
        with contextlib.suppress(OSError, ImageError):
            return self._orients and image_size(path) != image_size(path, orient=False)
        return False


def _read_file(path: str, backend_args: dict[str, Any] | None) -> bytes:
    """Read a file by MMEngine; a URL by :func:`~mmbeit3.downloads.fetch`, since MMEngine has no timeout or size limit."""
    if backend_args is None and is_url(path):
        return fetch(path, LARGEST_DOWNLOAD)
    return fileio.get(path, backend_args=backend_args)


def size_conflict(size: tuple[int, int], stated: tuple[Any, Any], turned: bool) -> str:
    """Say that an image file and its annotations state different sizes, to be read after the image's name.

    Args:
        size: the file's width and height.
        stated: the annotations'.
        turned: whether the file's EXIF orientation has turned it.
    """
    message = f"is {size[0]} x {size[1]} pixels (width x height), but its annotations are for {stated[0]} x {stated[1]}: "
    if turned and size[::-1] == stated:
        return message + (
            "its EXIF orientation turns it; set color_type='color_ignore_orientation' in every LoadImageFromFile, or make "
            "annotations for upright images"
        )
    return message + "boxes and masks would be elsewhere; mend 'width' and 'height', or bring the images they were made for"


@TRANSFORMS.register_module()
class LoadLabelImage(BaseTransform):
    """Load a label image as mmseg's ``LoadAnnotations`` does, with one clear error for a file that does not fit.

    mmseg casts what it reads to 8 bits, takes colours for labels, and hands on numbers that no class has: training crashes
    later, and the evaluation leaves such pixels out of the score.

    Args:
        num_classes: classes of the model; None to allow any number up to 255.
        reduce_zero_label: whether 0 means ignored and classes count from 1; default what the dataset says.
        ignore_index: a label that the model ignores, besides 255.
        backend_args: MMEngine's, for files that are not local.
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
        """Add ``gt_seg_map`` (H, W), uint8, of ``results['seg_map_path']``; a sample without one stays as it is.

        Raises:
            UserError: if the file is missing or damaged, has several channels, another size than the image, or numbers that
                mean nothing; the message names it.
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
    """Say that a label image has another size than its image, to be read after its name; both as (height, width)."""
    return (
        f"is {shape[1]} x {shape[0]} pixels (width x height), but its image is {image[1]} x {image[0]}: make labels of the "
        "image's size (where an EXIF orientation turns the image, for the upright one)"
    )


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
        classes = np.full(ids.shape, IGNORED, np.int32)
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
