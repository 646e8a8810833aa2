"""COCO and Flickr30k in Karpathy's splits, for captioning and retrieval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmbeit3.datasets.annotations import UniqueIds, check_images_exist, get_field, get_optional, get_text, read_json
from mmbeit3.datasets.unknown_texts import report_unknown_texts
from mmbeit3.errors import UserError, list_first
from mmbeit3.registry import DATASETS

__all__ = ["KarpathyCaptions", "KarpathyRetrieval", "read_karpathy"]


def read_karpathy(ann_file: str, img_path: str, splits: Sequence[str]) -> list[dict[str, Any]]:
    """Read images with their captions.

    Args:
        ann_file: ``dataset_coco.json`` or ``dataset_flickr30k.json`` (Karpathy and Fei-Fei, arXiv 1412.2306).
        img_path: folder of the images. COCO's images are in its subfolders ``train2014`` and ``val2014``, which the file names.
        splits: splits to read; COCO has train, restval, val and test.

    Returns:
        One dict per image: ``img_path``; ``image_id``, COCO's id, or ``imgid`` if the file has none; ``image_index``, the
        file's ``imgid``; ``captions``, a list of texts; ``text_ids``, the captions' ``sentid``.

    Raises:
        UserError: if the file is missing or has another format, an id or image is listed twice, a split is not in it, a
            caption is empty, or an image does not exist.
    """
    images = get_field(read_json(ann_file), "images", list, f"'{ann_file}'")
    found: Counter[str] = Counter()
    entries = []
    ids, cocoids, files, texts = UniqueIds("imgid"), UniqueIds("image id"), UniqueIds("image"), UniqueIds("sentid")
    for number, image in enumerate(images):
        where = f"'{ann_file}', image {number}"
        split = get_field(image, "split", str, where)
        found[split] += 1
        sentences = get_field(image, "sentences", list, where)
        folder = get_optional(image, "filepath", str, where, "")
        path = Path(img_path, folder, get_field(image, "filename", str, where))
        index = get_field(image, "imgid", int, where)
        # UniqueIds are checked across all splits: an image that is trained on must not also be in the test split.
        ids.add(index, where)
        files.add(str(path), where)
        for sentence in sentences:
            texts.add(get_field(sentence, "sentid", int, where), where)
            if (owner := get_optional(sentence, "imgid", int, where, index)) != index:
                raise UserError(
                    f"{where}: the image has the imgid {index}, but one of its sentences has {owner}: make them equal"
                )
        if split in splits:
            cocoids.add(get_optional(image, "cocoid", int, where, index), where)
            entries.append(
                {
                    "img_path": str(path),
                    "image_id": get_optional(image, "cocoid", int, where, index),
                    "image_index": index,
                    "captions": [get_text(sentence, "raw", where) for sentence in sentences],
                    "text_ids": [get_field(sentence, "sentid", int, where) for sentence in sentences],
                    "where": where,
                }
            )
    if missing := [split for split in splits if not found[split]]:
        raise UserError(
            f"'{ann_file}' has no images of split {', '.join(missing)}, but of "
            f"{list_first(sorted(found)) or 'none'}: correct splits"
        )
    check_images_exist((entry["img_path"], entry.pop("where")) for entry in entries)
    return entries


@DATASETS.register_module()
class KarpathyCaptions(BaseDataset):
    """Captioning dataset with one entry per caption in training, and one per image with ``test_mode``.

    Entries have ``img_path``, ``image_id``, and ``gt_caption`` in training or ``gt_captions`` in evaluation.

    Args:
        ann_file: see :func:`read_karpathy`.
        splits: splits to read; train on COCO's train and restval.
        **kwargs: arguments of MMEngine's ``BaseDataset``.

    Raises:
        UserError: see :func:`read_karpathy`; also if the training splits have no captions.
    """

    def __init__(self, ann_file: str, splits: Sequence[str], **kwargs: Any) -> None:
        self.splits = tuple(splits)
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the entries."""
        images = read_karpathy(self.ann_file, self.data_prefix["img_path"], self.splits)
        if self.test_mode:
            return [
                {"img_path": image["img_path"], "image_id": image["image_id"], "gt_captions": image["captions"]}
                for image in images
            ]
        entries = [
            {"img_path": image["img_path"], "image_id": image["image_id"], "gt_caption": caption}
            for image in images
            for caption in image["captions"]
        ]
        report_unknown_texts(self, entries)
        if not entries:
            raise UserError(
                f"'{self.ann_file}' has no captions of split {', '.join(self.splits)}: check that it is the right file"
            )
        return entries


@DATASETS.register_module()
class KarpathyRetrieval(BaseDataset):
    """Retrieval dataset of image-text pairs for training, or of images or texts for evaluation.

    Evaluation encodes each image and each text once. Put two of these datasets, with ``entries='images'`` and
    ``entries='texts'``, into a ``ConcatDataset``, each with its pipeline. Entries have ``image_id``; pairs and images also have
    ``img_path``; pairs and texts also have ``text`` and ``text_id``.

    Args:
        ann_file: see :func:`read_karpathy`.
        splits: splits to read; train on COCO's train and restval.
        entries: ``'pairs'``, ``'images'`` or ``'texts'``.
        **kwargs: arguments of MMEngine's ``BaseDataset``.

    Raises:
        UserError: see :func:`read_karpathy`; also if an image has no caption, or ``entries`` has another value.
    """

    def __init__(self, ann_file: str, splits: Sequence[str], entries: str = "pairs", **kwargs: Any) -> None:
        if entries not in ("pairs", "images", "texts"):
            raise UserError(f"KarpathyRetrieval: entries is {entries!r}: set it to 'pairs', 'images' or 'texts'")
        self.splits = tuple(splits)
        self.entries = entries
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the entries."""
        images = read_karpathy(self.ann_file, self.data_prefix["img_path"], self.splits)
        if without := [image["image_index"] for image in images if not image["captions"]]:
            raise UserError(
                f"'{self.ann_file}': image with imgid {without[0]} has no captions, so no text can retrieve it: add a caption, "
                "or remove the image"
            )
        if self.entries == "images":
            return [{"img_path": image["img_path"], "image_id": image["image_index"]} for image in images]
        pairs = [
            {"img_path": image["img_path"], "image_id": image["image_index"], "text": text, "text_id": text_id}
            for image in images
            for text, text_id in zip(image["captions"], image["text_ids"], strict=True)
        ]
        report_unknown_texts(self, pairs)
        if self.entries == "texts":
            for pair in pairs:
                del pair["img_path"]
        return pairs
