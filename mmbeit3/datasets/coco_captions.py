"""Captions in COCO's format, to be compared with: NoCaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmbeit3.datasets.annotations import Ids, check_images, read_json, take, take_if_there, take_text
from mmbeit3.errors import UserError
from mmbeit3.registry import DATASETS

__all__ = ["CocoCaptions"]


@DATASETS.register_module()
class CocoCaptions(BaseDataset):
    """Images to describe, an entry each: ``img_path``, ``image_id`` and ``gt_captions``, empty where the file has none.

    Reads NoCaps' ``nocaps_val_4500_captions.json`` and ``nocaps_test_image_info.json``. mmpretrain's ``NoCaps`` has an entry
    for each caption, so each image ten times, and none where captions are not public.

    Args:
        ann_file: COCO's format: ``images`` with ``id`` and ``file_name``, perhaps ``annotations`` with ``image_id`` and
            ``caption``.
        **kwargs: those of MMEngine's ``BaseDataset``.

    Raises:
        UserError: if the file is missing or of another format, an id or image is there twice, a caption is empty, or an image
            does not exist.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the entries."""
        content = read_json(self.ann_file)
        entries: dict[Any, dict[str, Any]] = {}
        names: list[tuple[str, str]] = []
        ids, files, captions = Ids("id"), Ids("file_name"), Ids("id")
        for number, image in enumerate(take(content, "images", list, f"'{self.ann_file}'")):
            where = f"'{self.ann_file}', image {number}"
            path = str(Path(self.data_prefix["img_path"], take(image, "file_name", str, where)))
            image_id = take(image, "id", (int, str), where)
            ids.add(image_id, where)
            files.add(image["file_name"], where)
            entries[image_id] = {"img_path": path, "image_id": image_id, "gt_captions": []}
            names.append((path, where))
        for number, annotation in enumerate(take_if_there(content, "annotations", list, f"'{self.ann_file}'", [])):
            where = f"'{self.ann_file}', annotation {number}"
            caption = take_text(annotation, "caption", where)
            if (caption_id := take_if_there(annotation, "id", (int, str), where, None)) is not None:
                captions.add(caption_id, where)
            image_id = take(annotation, "image_id", (int, str), where)
            if image_id not in entries:
                raise UserError(f"{where}: image_id {image_id} is not among the file's images: is the file complete?")
            entries[image_id]["gt_captions"].append(caption)
        if not entries:
            raise UserError(f"'{self.ann_file}' has no images: is it the right file?")
        check_images(names)
        return list(entries.values())
