"""VQAv2 through mmpretrain's reader, with the reference's split of the validation images."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmbeit3.datasets.annotations import read_json, take, take_text
from mmbeit3.errors import UserError
from mmbeit3.registry import DATASETS

__all__ = ["VQAv2"]

_PEOPLE = 10


@DATASETS.register_module()
class VQAv2(BaseDataset):
    """What mmpretrain's ``COCOVQA`` reads, with each person's answer, ``gt_answers``, which is empty where there are none.

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
        UserError: if a file is missing or of another format, files don't belong together, a question is empty or has not ten
            answers, an image does not exist, or for another ``part``.
        ImportError: if mmpretrain is not installed.
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
        if not entries:
            raise UserError(f"'{questions}' has no questions: is it the right file?")
        for number, entry in enumerate(entries):
            where = f"'{questions}', question {number}"
            take(entry, "question_id", int, where)
            take_text(entry, "question", where)
            entry["gt_answers"] = self._answers(entry)
        if self.part is None:
            return entries
        images = sorted({entry["image_id"] for entry in entries})
        if len(images) <= self.held_out_images:
            raise UserError(f"'{self.question_file}' has {len(images)} images, too few to hold out {self.held_out_images}")
        held_out = set(random.Random(self.seed).sample(images, self.held_out_images))
        return [entry for entry in entries if (entry["image_id"] in held_out) == (self.part == "held_out")]

    def _read(self, questions: str) -> list[dict[str, Any]]:
        try:
            from mmpretrain.datasets.coco_vqa import COCOVQA
        except ImportError as error:
            raise ImportError(f"mmpretrain cannot be imported ({error}): pip install 'mmbeit3[tasks]'") from error
        folder = self.data_prefix["img_path"]
        # Our paths are complete, so that the reader has nothing to put before them.
        reader = COCOVQA("", folder, question_file=questions, ann_file=self.ann_file, lazy_init=True)
        try:
            return reader.load_data_list()
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"VQA: '{error.filename}' cannot be read: {reason}: set data_root and the files in it") from error
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            self._check_files(questions)
            if isinstance(error, KeyError):
                raise UserError(
                    f"'{questions}': image {error.args[0]} is not in '{folder}': set data_root and data_prefix, or complete "
                    "the data"
                ) from error
            raise UserError(
                f"'{questions}' and '{self.ann_file}' don't have the same questions in the same order: give files of one split"
            ) from error

    def _check_files(self, questions: str) -> None:
        """Find in which file and entry it is that the reader failed."""
        for number, question in enumerate(take(read_json(questions), "questions", list, f"'{questions}'")):
            for key in ("question_id", "image_id"):
                take(question, key, int, f"'{questions}', question {number}")
        if self.ann_file:
            for number, entry in enumerate(take(read_json(self.ann_file), "annotations", list, f"'{self.ann_file}'")):
                where = f"'{self.ann_file}', annotation {number}"
                take(entry, "question_id", int, where)
                for answer in take(entry, "answers", list, where):
                    take(answer, "answer", str, where)

    def _answers(self, entry: Mapping[str, Any]) -> list[str]:
        """What each person answered, of distinct answers and their shares."""
        counts = [share * _PEOPLE for share in entry.get("gt_answer_weight", ())]
        if ("gt_answer" in entry and not counts) or any(abs(count - round(count)) > 1e-6 for count in counts):
            raise UserError(
                f"'{self.ann_file}': question {entry['question_id']} has not {_PEOPLE} answers, as VQAv2's have: complete it"
            )
        answers = zip(entry.get("gt_answer", ()), counts, strict=True)
        return [answer for answer, count in answers for _ in range(round(count))]
