"""VQAv2 from its official files, with the reference's split of the validation images."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmbeit3.datasets.annotations import Ids, read_json, take, take_if_there, take_text
from mmbeit3.datasets.task_entries import report_entries
from mmbeit3.datasets.vqa_labels import VQALabels
from mmbeit3.errors import UserError
from mmbeit3.registry import DATASETS

__all__ = ["VQAv2"]

_PEOPLE = 10
_IMAGE = re.compile(r"(?:COCO_[A-Za-z]+\d{4}_)?(\d{12})\.(?:jpe?g|png|webp)", re.IGNORECASE)
"""An image's name: COCO's own, as ``COCO_val2014_000000000042.jpg``, or the id alone."""


@DATASETS.register_module()
class VQAv2(BaseDataset):
    """Questions, an entry each: ``question_id``, ``image_id``, ``img_path``, ``question``, and ``gt_answers``.

    The latter are what each person answered, empty where there are no annotations. Questions and annotations belong together by
    their ids, in whatever order. An image is the file that is named by its id as COCO names it; other files of its folder are
    left alone.

    The reference trains on the train split and most of the val split, and validates on 1000 images of the latter that it draws
    anew each time its index is made. Here they are drawn by a seed: give one dataset ``part='trainable'`` and the other
    ``part='held_out'``.

    Args:
        question_file: official questions, under ``data_root``.
        ann_file: official annotations; none for the test splits.
        part: None for all questions, ``'trainable'`` for those of images that are not held out, ``'held_out'`` for the others.
        held_out_images: how many images are held out.
        seed: of the draw.
        **kwargs: those of MMEngine's ``BaseDataset``; ``data_prefix=dict(img_path=...)`` is the folder of the split's images.

    Raises:
        UserError: if a file is missing or of another format, an id is there twice, files don't belong together, a question is
            empty or has not ten answers, an image does not exist or is there twice, too few questions have a label, or for
            another ``part``.
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
            raise UserError(f"VQAv2: part must be None, 'trainable' or 'held_out', got {part!r}")
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
                raise UserError(f"'{self.question_file}' has {len(images)} images, too few to hold out {self.held_out_images}")
            held_out = set(random.Random(self.seed).sample(images, self.held_out_images))
            entries = [entry for entry in entries if (entry["image_id"] in held_out) == (self.part == "held_out")]
        for step in self.pipeline.transforms:
            if isinstance(step, VQALabels):
                step.check([entry["gt_answers"] for entry in entries], f"'{questions}'")
        report_entries(self, entries)
        return entries

    def _read(self, questions: str) -> list[dict[str, Any]]:
        """Questions with their images and answers."""
        asked = take(read_json(questions), "questions", list, f"'{questions}'")
        if not asked:
            raise UserError(f"'{questions}' has no questions: is it the right file?")
        answers = self._answers() if self.ann_file else {}
        ids = Ids("question_id")
        entries = []
        for number, question in enumerate(asked):
            where = f"'{questions}', question {number}"
            question_id = take(question, "question_id", int, where)
            ids.add(question_id, where)
            entry = {
                "question_id": question_id,
                "image_id": take(question, "image_id", int, where),
                "question": take_text(question, "question", where),
                "gt_answers": [],
            }
            if self.ann_file:
                image_id, entry["gt_answers"] = answers.pop(question_id, (None, None))
                if entry["gt_answers"] is None:
                    raise UserError(f"{where}: question {question_id} has no annotation in '{self.ann_file}', {_OTHER_SPLIT}")
                if image_id not in (None, entry["image_id"]):
                    raise UserError(
                        f"{where}: question {question_id} is about image {entry['image_id']}, but about {image_id} in "
                        f"'{self.ann_file}', {_OTHER_SPLIT}"
                    )
            entries.append(entry)
        if answers:
            raise UserError(
                f"'{questions}' lacks {len(answers)} questions that '{self.ann_file}' answers, such as {next(iter(answers))}, "
                + _OTHER_SPLIT
            )
        found = _find_images(self.data_prefix["img_path"], {entry["image_id"] for entry in entries})
        for entry in entries:
            if entry["image_id"] not in found:
                raise UserError(
                    f"'{questions}': image {entry['image_id']} is not in '{self.data_prefix['img_path']}': set data_root and "
                    "data_prefix, or complete the data; its name ends in twelve digits, as COCO_val2014_000000000042.jpg"
                )
            entry["img_path"] = found[entry["image_id"]]
        return entries

    def _answers(self) -> dict[int, tuple[int | None, list[str]]]:
        """Of each question, the image that it is said to be about, and what each person answered."""
        ids = Ids("question_id")
        found = {}
        for number, entry in enumerate(take(read_json(self.ann_file), "annotations", list, f"'{self.ann_file}'")):
            where = f"'{self.ann_file}', annotation {number}"
            question_id = take(entry, "question_id", int, where)
            ids.add(question_id, where)
            given = [take(answer, "answer", str, where) for answer in take(entry, "answers", list, where)]
            found[question_id] = take_if_there(entry, "image_id", int, where, None), _of_ten(given, question_id, self.ann_file)
        return found


_OTHER_SPLIT = "so that they don't have the same questions: give files of one split"


def _of_ten(given: list[str], question_id: int, file: str) -> list[str]:
    """Answers of ten people, equal ones beside each other; a single one stands for all of them."""
    counts = {answer: count * _PEOPLE / len(given) for answer, count in Counter(given).items()}
    if not given or any(count != int(count) for count in counts.values()):
        raise UserError(f"'{file}': question {question_id} has not {_PEOPLE} answers, as VQAv2's have: complete it")
    return [answer for answer, count in counts.items() for _ in range(int(count))]


def _find_images(folder: str, wanted: set[int]) -> Mapping[int, str]:
    """Files of a folder by the ids of the images that are asked for."""
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"folder of images '{folder}' does not exist: set data_root and data_prefix")
    found: dict[int, str] = {}
    for file in sorted(path.iterdir()):
        match = _IMAGE.fullmatch(file.name)
        if match is None or int(match[1]) not in wanted:
            continue
        if (number := int(match[1])) in found:
            raise UserError(
                f"image {number} is there twice: '{found[number]}' and '{file.name}': leave one, or set data_prefix to the "
                "folder of one split"
            )
        found[number] = str(file)
    return found
