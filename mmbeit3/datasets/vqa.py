"""VQAv2, read from its official files, with the reference's split of the validation images."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmbeit3.datasets.annotations import UniqueIds, get_field, get_optional, get_text, read_json
from mmbeit3.datasets.unknown_texts import report_unknown_texts
from mmbeit3.datasets.vqa_labels import VQALabels
from mmbeit3.errors import UserError
from mmbeit3.registry import DATASETS

__all__ = ["VQAv2"]

_NUM_ANSWERS = 10
"""Number of people who answered each question of VQAv2."""
_IMAGE_NAME = re.compile(r"(?:COCO_[A-Za-z]+\d{4}_)?(\d{12})\.(?:jpe?g|png|webp)", re.IGNORECASE)
"""Regex for an image's file name: COCO's, such as ``COCO_val2014_000000000042.jpg``, or only the twelve digits of its id."""


@DATASETS.register_module()
class VQAv2(BaseDataset):
    """VQAv2 with one entry per question: ``question_id``, ``image_id``, ``img_path``, ``question`` and ``gt_answers``.

    ``gt_answers`` lists each person's answer; it is empty if there are no annotations. Questions and annotations are matched by
    ``question_id``, in any order. An image is found by its id in COCO's file name; other files in the folder are ignored.

    The reference trains on the train split and most of the val split, and validates on 1000 held-out val images, which it
    draws again each time it builds its index. This dataset draws them with a fixed seed: use one dataset with
    ``part='trainable'`` and another with ``part='held_out'``.

    Args:
        question_file: official file of questions, relative to ``data_root``.
        ann_file: official file of annotations; empty for the test splits.
        part: None for all questions, ``'trainable'`` for questions about images that are not held out, ``'held_out'`` for the
            others.
        held_out_images: number of held-out images.
        seed: seed of the draw.
        **kwargs: arguments of MMEngine's ``BaseDataset``; ``data_prefix=dict(img_path=...)`` is the folder of the split's
            images.

    Raises:
        UserError: if a file is missing or has another format, an id is used twice, the two files are of different splits, a
            question is empty or does not have ten answers, an image does not exist or exists twice, too few questions have a
            label, or ``part`` has another value.
    """

    def __init__(
        self,
        question_file: str,
        ann_file: str = "",
        part: str | None = None,
        held_out_images: int = 1000,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if part not in (None, "trainable", "held_out"):
            raise UserError(f"VQAv2: part is {part!r}: set it to None, 'trainable' or 'held_out'")
        self.question_file = question_file
        self.part = part
        self.held_out_images = held_out_images
        self.seed = seed
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the entries."""
        questions = str(Path(self.data_root or "", self.question_file))
        entries = self._read(questions)
        if self.part is not None:
            images = sorted({entry["image_id"] for entry in entries})
            if len(images) <= self.held_out_images:
                raise UserError(
                    f"'{self.question_file}' has {len(images)} images: lower held_out_images={self.held_out_images}"
                )
            held_out = set(random.Random(self.seed).sample(images, self.held_out_images))
            entries = [entry for entry in entries if (entry["image_id"] in held_out) == (self.part == "held_out")]
        for step in self.pipeline.transforms:
            if isinstance(step, VQALabels):
                step.check([entry["gt_answers"] for entry in entries], f"'{questions}'")
        report_unknown_texts(self, entries)
        return entries

    def _read(self, questions: str) -> list[dict[str, Any]]:
        """Read the questions with their images and answers."""
        records = get_field(read_json(questions), "questions", list, f"'{questions}'")
        if not records:
            raise UserError(f"'{questions}' has no questions: check that it is the right file")
        answers = self._read_answers() if self.ann_file else {}
        ids = UniqueIds("question_id")
        entries = []
        for number, question in enumerate(records):
            where = f"'{questions}', question {number}"
            question_id = get_field(question, "question_id", int, where)
            ids.add(question_id, where)
            entry = {
                "question_id": question_id,
                "image_id": get_field(question, "image_id", int, where),
                "question": get_text(question, "question", where),
                "gt_answers": [],
            }
            if self.ann_file:
                image_id, entry["gt_answers"] = answers.pop(question_id, (None, None))
                if entry["gt_answers"] is None:
                    raise UserError(f"{where}: question {question_id} has no annotation in '{self.ann_file}': {_SAME_SPLIT}")
                if image_id not in (None, entry["image_id"]):
                    raise UserError(
                        f"{where}: question {question_id} is about image {entry['image_id']}, but about {image_id} in "
                        f"'{self.ann_file}': {_SAME_SPLIT}"
                    )
            entries.append(entry)
        if answers:
            raise UserError(
                f"'{questions}' does not have {len(answers)} questions that '{self.ann_file}' answers, such as "
                f"{next(iter(answers))}: {_SAME_SPLIT}"
            )
        found = _find_images(self.data_prefix["img_path"], {entry["image_id"] for entry in entries})
        for entry in entries:
            if entry["image_id"] not in found:
                raise UserError(
                    f"'{questions}': image {entry['image_id']} is not in '{self.data_prefix['img_path']}': set data_root and "
                    "data_prefix, or add the file; its name has the id in twelve digits, as COCO_val2014_000000000042.jpg"
                )
            entry["img_path"] = found[entry["image_id"]]
        return entries

    def _read_answers(self) -> dict[int, tuple[int | None, list[str]]]:
        """Read the annotations: question id to image id, if given, and each person's answer."""
        ids = UniqueIds("question_id")
        found = {}
        for number, entry in enumerate(get_field(read_json(self.ann_file), "annotations", list, f"'{self.ann_file}'")):
            where = f"'{self.ann_file}', annotation {number}"
            question_id = get_field(entry, "question_id", int, where)
            ids.add(question_id, where)
            given = [get_field(answer, "answer", str, where) for answer in get_field(entry, "answers", list, where)]
            found[question_id] = (
                get_optional(entry, "image_id", int, where, None),
                _ten_answers(given, question_id, self.ann_file),
            )
        return found


_SAME_SPLIT = "set question_file and ann_file to files of the same split"


def _ten_answers(given: list[str], question_id: int, file: str) -> list[str]:
    """Return ten answers with equal ones next to each other. A single answer counts as the answer of all ten people."""
    counts = {answer: count * _NUM_ANSWERS / len(given) for answer, count in Counter(given).items()}
    if not given or any(count != int(count) for count in counts.values()):
        raise UserError(
            f"'{file}': question {question_id} has {len(given)} answers: give {_NUM_ANSWERS}, one per person, or a single one"
        )
    return [answer for answer, count in counts.items() for _ in range(int(count))]


def _find_images(folder: str, wanted: set[int]) -> Mapping[int, str]:
    """Return image id to file of a folder, for the wanted ids."""
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"folder of images '{folder}' does not exist: set data_root and data_prefix")
    found: dict[int, str] = {}
    for file in sorted(path.iterdir()):
        match = _IMAGE_NAME.fullmatch(file.name)
        if match is None or int(match[1]) not in wanted:
            continue
        if (number := int(match[1])) in found:
            raise UserError(
                f"image {number} exists twice: '{found[number]}' and '{file.name}': remove one, or set data_prefix to the "
                "folder of one split"
            )
        found[number] = str(file)
    return found
