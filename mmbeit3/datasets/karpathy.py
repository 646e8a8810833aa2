"""COCO and Flickr30k in Karpathy's splits: captions to learn, to compare with, and to retrieve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmbeit3.datasets.annotations import Ids, check_images, read_json, take, take_if_there, take_text
from mmbeit3.datasets.task_entries import report_entries
from mmbeit3.errors import UserError
from mmbeit3.registry import DATASETS

__all__ = ["KarpathyCaptions", "KarpathyRetrieval", "read_karpathy"]


def read_karpathy(ann_file: str, img_path: str, splits: Sequence[str]) -> list[dict[str, Any]]:
    """Read images with their captions.

    Args:
        ann_file: ``dataset_coco.json`` or ``dataset_flickr30k.json`` (Karpathy and Fei-Fei, arXiv 1412.2306).
        img_path: folder of the images; COCO's are in ``train2014`` and ``val2014`` under it, as the file says.
        splits: which to take; COCO has train, restval, val and test.

    Returns:
        For each image ``img_path``; ``image_id``, COCO's own where there is one; ``image_index``, its number in the file; the
        texts of its captions, ``captions``, and their numbers, ``text_ids``.

    Raises:
        UserError: if the file is missing or of another format, an id or image is there twice, a split is not in it, a
            caption is empty, or an image does not exist.
    """
    images = take(read_json(ann_file), "images", list, f"'{ann_file}'")
    found: Counter[str] = Counter()
    entries = []
    ids, cocoids, files, texts = Ids("imgid"), Ids("image id"), Ids("image"), Ids("sentid")
    for number, image in enumerate(images):
        where = f"'{ann_file}', image {number}"
        split = take(image, "split", str, where)
        found[split] += 1
        sentences = take(image, "sentences", list, where)
        folder = take_if_there(image, "filepath", str, where, "")
        path = Path(img_path, folder, take(image, "filename", str, where))
        index = take(image, "imgid", int, where)
        # Those of other splits, too: what is trained on must not be tested on.
        ids.add(index, where)
        files.add(str(path), where)
        for sentence in sentences:
            texts.add(take(sentence, "sentid", int, where), where)
            if (owner := take_if_there(sentence, "imgid", int, where, index)) != index:
                raise UserError(f"{where}: imgid is {index}, and {owner} in a sentence of it: the file was renumbered by half")
        if split in splits:
            cocoids.add(take_if_there(image, "cocoid", int, where, index), where)
            entries.append(
                {
                    "img_path": str(path),
                    "image_id": take_if_there(image, "cocoid", int, where, index),
                    "image_index": index,
                    "captions": [take_text(sentence, "raw", where) for sentence in sentences],
                    "text_ids": [take(sentence, "sentid", int, where) for sentence in sentences],
                    "where": where,
                }
            )
    if missing := [split for split in splits if not found[split]]:
        raise UserError(
            f"'{ann_file}' has no images of split {', '.join(missing)}: it has {', '.join(sorted(found)) or 'none'}"
        )
    check_images((entry["img_path"], entry.pop("where")) for entry in entries)
    return entries


@DATASETS.register_module()
class KarpathyCaptions(BaseDataset):
    """Captioning: in training an entry for each caption, with ``test_mode`` one for each image.

    Entries have ``img_path``, ``image_id`` and, in training, ``gt_caption``, in evaluation ``gt_captions``.

    Args:
        ann_file: see :func:`read_karpathy`.
        splits: which images; training takes COCO's train and restval.
        **kwargs: those of MMEngine's ``BaseDataset``.

    Raises:
        UserError: see :func:`read_karpathy`; also if there is nothing to learn.
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
        report_entries(self, entries)
        if not entries:
            raise UserError(f"'{self.ann_file}' has no captions of split {', '.join(self.splits)}: is it the right file?")
        return entries


@DATASETS.register_module()
class KarpathyRetrieval(BaseDataset):
    """Retrieval: pairs for training; images and texts for evaluation, each once.

    For evaluation put two of these datasets, with ``entries='images'`` and ``entries='texts'``, into a ``ConcatDataset``; each
    has a pipeline of its own. Entries have ``image_id``; pairs and images also ``img_path``; pairs and texts also ``text`` and
    ``text_id``.

    Args:
        ann_file: see :func:`read_karpathy`.
        splits: which images; training takes COCO's train and restval.
        entries: ``'pairs'``, ``'images'`` or ``'texts'``.
        **kwargs: those of MMEngine's ``BaseDataset``.

    Raises:
        UserError: see :func:`read_karpathy`; also if an image has no text, or for other ``entries``.
    """

    def __init__(self, ann_file: str, splits: Sequence[str], entries: str = "pairs", **kwargs: Any) -> None:
        if entries not in ("pairs", "images", "texts"):
            raise UserError(f"KarpathyRetrieval: entries must be 'pairs', 'images' or 'texts', got {entries!r}")
        self.splits = tuple(splits)
        self.entries = entries
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the entries."""
        images = read_karpathy(self.ann_file, self.data_prefix["img_path"], self.splits)
        if silent := [image["image_index"] for image in images if not image["captions"]]:
            raise UserError(f"'{self.ann_file}': image with imgid {silent[0]} has no captions, so nothing retrieves it")
        if self.entries == "images":
            return [{"img_path": image["img_path"], "image_id": image["image_index"]} for image in images]
        pairs = [
            {"img_path": image["img_path"], "image_id": image["image_index"], "text": text, "text_id": text_id}
            for image in images
            for text, text_id in zip(image["captions"], image["text_ids"], strict=True)
        ]
        report_entries(self, pairs)
        if self.entries == "texts":
            for pair in pairs:
                del pair["img_path"]
        return pairs
