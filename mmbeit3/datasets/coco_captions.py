"""Reference captions in COCO's format, as NoCaps has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmbeit3.datasets.annotations import UniqueIds, check_images_exist, get_field, get_optional, get_text, read_json
from mmbeit3.errors import UserError
from mmbeit3.registry import DATASETS

__all__ = ["CocoCaptions"]


@DATASETS.register_module()
class CocoCaptions(BaseDataset):
    """Images with their reference captions, for evaluation.

    There is one entry per image with ``img_path``, ``image_id`` and ``gt_captions``, a list that is empty if the file has no
    captions. The dataset reads NoCaps' ``nocaps_val_4500_captions.json`` and ``nocaps_test_image_info.json``. mmpretrain's
    ``NoCaps`` has one entry per caption instead, so each image ten times, and none for images without public captions.

    Args:
        ann_file: file in COCO's format: ``images`` with ``id`` and ``file_name``, and optionally ``annotations`` with
            ``image_id`` and ``caption``.
        **kwargs: arguments of MMEngine's ``BaseDataset``.

    Raises:
        UserError: if the file is missing or has another format, an id or image is listed twice, a caption is empty, or an
            image does not exist.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the entries."""
        content = read_json(self.ann_file)
        entries: dict[Any, dict[str, Any]] = {}
        names: list[tuple[str, str]] = []
        ids, files, captions = UniqueIds("id"), UniqueIds("file_name"), UniqueIds("id")
        for number, image in enumerate(get_field(content, "images", list, f"'{self.ann_file}'")):
            where = f"'{self.ann_file}', image {number}"
            path = str(Path(self.data_prefix["img_path"], get_field(image, "file_name", str, where)))
            image_id = get_field(image, "id", (int, str), where)
            ids.add(image_id, where)
            files.add(image["file_name"], where)
            entries[image_id] = {"img_path": path, "image_id": image_id, "gt_captions": []}
            names.append((path, where))
        for number, annotation in enumerate(get_optional(content, "annotations", list, f"'{self.ann_file}'", [])):
            where = f"'{self.ann_file}', annotation {number}"
            caption = get_text(annotation, "caption", where)
            if (caption_id := get_optional(annotation, "id", (int, str), where, None)) is not None:
                captions.add(caption_id, where)
            image_id = get_field(annotation, "image_id", (int, str), where)
            if image_id not in entries:
                raise UserError(
                    f"{where}: image_id {image_id} is not in the file's 'images': add the image, or remove the annotation"
                )
            entries[image_id]["gt_captions"].append(caption)
        if not entries:
            raise UserError(f"'{self.ann_file}' has no images: check that it is the right file")
        check_images_exist(names)
        return list(entries.values())
