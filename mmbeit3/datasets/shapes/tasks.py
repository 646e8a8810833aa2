"""Writer of scenes for five tasks, in the formats of VQAv2, NLVR2, Karpathy's splits (captioning, retrieval) and ImageNet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmbeit3.datasets.shapes.captions import describe
from mmbeit3.datasets.shapes.classes import THING_CLASSES
from mmbeit3.datasets.shapes.files import link, write_image, write_json, write_lines
from mmbeit3.datasets.shapes.questions import BalancedChooser, count_things, make_questions, make_statements
from mmbeit3.datasets.shapes.render import Scene, SceneObject

__all__ = ["TaskFiles"]

_NUM_ANSWERS = 10
"""Number of answers to a question, as in VQAv2. In this dataset they are all equal."""
_QUESTIONS = 6
"""Largest number of questions per image."""
_CAPTIONS = 5
"""Largest number of captions per image. Equal ones are written once."""
_PAIRS = 4
"""Number of image pairs that contain an image."""
_STATEMENTS = 2
"""Largest number of statements per pair."""
_PAIR_SPLITS = {"train": "train", "val": "dev"}
_FOLDERS = 100
"""Number of folders of NLVR2's training images."""
_MARGIN = 1.3
"""Ratio of a crop's side to the longer side of the thing."""


class TaskFiles:
    """Writer of the files of one split.

    Files: ``vqa/{questions,annotations}_{split}2017.json`` in VQAv2's format, with ``vqa/answers.txt``, the answers of the
    training split; ``nlvr2/{train,dev}.json`` with ``nlvr2/images``; ``captions_{split}2017.json`` in the format of Karpathy's
    ``dataset_*.json``; and ``classes/{split}/CLASS/*.png``, crops around one thing, in ImageNet's layout.

    Args:
        folder: folder of the dataset.
        split: ``'train'`` or ``'val'``.
        rng: generator that chooses questions, statements and pairs.
    """

    def __init__(self, folder: Path, split: str, rng: np.random.Generator) -> None:
        self.folder = folder
        self.split = split
        self.rng = rng
        self._chooser = BalancedChooser(rng)
        self._questions: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._captioned: list[dict[str, Any]] = []
        self._counts: list[dict[str, int]] = []
        self._statements: list[dict[str, Any]] = []
        for name in THING_CLASSES:
            (folder / "classes" / split / name).mkdir(parents=True)
        (folder / "vqa").mkdir(exist_ok=True)
        (folder / "nlvr2").mkdir(exist_ok=True)

    def add(self, image_id: int, scene: Scene) -> None:
        """Add a scene, whose image is ``{split}2017/{image_id:012d}.jpg``. Ids must count from 1."""
        for number, question in enumerate(self._chooser.choose(make_questions(scene), _QUESTIONS)):
            self._add_question({"image_id": image_id, "question_id": 1000 * image_id + number}, *question)
        texts = list(dict.fromkeys(describe(scene, self.rng) for _ in range(_CAPTIONS)))
        self._add_captions(image_id, texts)
        self._counts.append(count_things(scene))
        for number, item in enumerate(scene.objects):
            if not item.crowd:
                path = self.folder / "classes" / self.split / item.name / f"{image_id:012d}_{number}.png"
                write_image(path, _crop(scene, item)[..., ::-1])

    def close(self) -> None:
        """Write the annotation files. The images must exist, because NLVR2's are links to them."""
        for name, entries in (("questions", self._questions), ("annotations", self._annotations)):
            write_json(self.folder / "vqa" / f"{name}_{self.split}2017.json", {name: entries})
        if self.split == "train":
            answers = {annotation["multiple_choice_answer"] for annotation in self._annotations}
            write_lines(self.folder / "vqa" / "answers.txt", sorted(answers))
        write_json(self.folder / f"captions_{self.split}2017.json", {"images": self._captioned, "dataset": "shapes"})
        path = self.folder / "nlvr2" / f"{_PAIR_SPLITS[self.split]}.json"
        self._statements = list(self._make_statements())
        write_lines(path, map(json.dumps, self._statements))

    @property
    def sentences(self) -> list[str]:
        """All questions and statements. Complete after :meth:`close`."""
        return [one["question"] for one in self._questions] + [one["sentence"] for one in self._statements]

    def _add_question(self, ids: dict[str, int], kind: str, question: str, answer: str) -> None:
        people = [{"answer": answer, "answer_confidence": "yes", "answer_id": number + 1} for number in range(_NUM_ANSWERS)]
        answer_type = "yes/no" if answer in ("yes", "no") else "number" if answer.isdigit() else "other"
        self._questions.append({**ids, "question": question})
        self._annotations.append(
            {
                **ids,
                "question_type": kind,
                "answer_type": answer_type,
                "multiple_choice_answer": answer,
                "answers": people,
            }
        )

    def _add_captions(self, image_id: int, texts: list[str]) -> None:
        number = len(self._captioned)
        ids = [_CAPTIONS * number + index for index in range(len(texts))]
        sentences = [
            {"raw": text, "tokens": text.replace(",", "").split(), "imgid": number, "sentid": sentid}
            for text, sentid in zip(texts, ids, strict=True)
        ]
        self._captioned.append(
            {
                "filepath": f"{self.split}2017",
                "filename": f"{image_id:012d}.jpg",
                "imgid": number,
                "split": self.split,
                "sentences": sentences,
                "sentids": ids,
            }
        )

    def _make_statements(self) -> Iterator[dict[str, Any]]:
        """Yield statements about random pairs of images, and link the images under NLVR2's file names."""
        split = _PAIR_SPLITS[self.split]
        chooser = BalancedChooser(self.rng)
        order = np.concatenate([self.rng.permutation(len(self._counts)) for _ in range(_PAIRS)])
        for number, pair in enumerate(order[: len(order) // 2 * 2].reshape(-1, 2)):
            # As in NLVR2, only training images are in numbered folders.
            entry = {"directory": number % _FOLDERS} if split == "train" else {}
            images = self.folder / "nlvr2" / "images" / split / str(entry.get("directory", ""))
            images.mkdir(parents=True, exist_ok=True)
            for side, index in enumerate(pair):
                # The content is JPEG although the name ends in .png; decoders look at the content.
                link(self.folder / f"{self.split}2017" / f"{index + 1:012d}.jpg", images / f"{split}-{number}-0-img{side}.png")
            left, right = (self._counts[index] for index in pair)
            for index, (_, statement, truth) in enumerate(chooser.choose(make_statements(left, right), _STATEMENTS)):
                yield {"identifier": f"{split}-{number}-0-{index}", "sentence": statement, "label": truth, **entry}


def _crop(scene: Scene, item: SceneObject) -> np.ndarray:
    """Crop a square around a thing, shifted so that it is inside the image: (S, S, 3)."""
    size = len(item.mask)
    pixels = np.argwhere(item.mask)
    start, end = pixels.min(axis=0), pixels.max(axis=0) + 1
    side = min(int(_MARGIN * (end - start).max()), size)
    top, left = np.clip((start + end - side) // 2, 0, size - side)
    return scene.image[top : top + side, left : left + side]
