"""Writing scenes for the five tasks, in the formats that VQAv2, NLVR2, COCO in Karpathy's splits and ImageNet come in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmbeit3.datasets.shapes.captions import describe
from mmbeit3.datasets.shapes.classes import THING_CLASSES
from mmbeit3.datasets.shapes.files import link, write_image, write_json, write_lines
from mmbeit3.datasets.shapes.questions import Chooser, ask, count_things, state
from mmbeit3.datasets.shapes.render import Scene, SceneObject

__all__ = ["TaskFiles"]

_PEOPLE = 10
"""Who answer a question of VQAv2; here they always agree."""
_QUESTIONS = 6
_DESCRIPTIONS = 5
_PAIRS = 4
"""In how many pairs each image is."""
_STATEMENTS = 2
_PAIR_SPLITS = {"train": "train", "val": "dev"}
_FOLDERS = 100
"""Over which NLVR2's training images are spread."""
_MARGIN = 1.3
"""Sides of a crop to those of the thing."""


class TaskFiles:
    """The files of one split.

    ``vqa/{questions,annotations}_{split}2017.json`` as VQAv2's, with ``vqa/answers.txt``, the answers in training;
    ``nlvr2/{train,dev}.json`` with ``nlvr2/images``; ``captions_{split}2017.json`` as Karpathy's ``dataset_*.json``; and
    ``classes/{split}/CLASS/*.png``, crops around one thing, as ImageNet's.

    Args:
        folder: of the dataset.
        split: ``'train'`` or ``'val'``.
        rng: chooses questions, statements and pairs.
    """

    def __init__(self, folder: Path, split: str, rng: np.random.Generator) -> None:
        self.folder = folder
        self.split = split
        self.rng = rng
        self._chooser = Chooser(rng)
        self._questions: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._described: list[dict[str, Any]] = []
        self._counts: list[dict[str, int]] = []
        self._stated: list[dict[str, Any]] = []
        for name in THING_CLASSES:
            (folder / "classes" / split / name).mkdir(parents=True)
        (folder / "vqa").mkdir(exist_ok=True)
        (folder / "nlvr2").mkdir(exist_ok=True)

    def add(self, image_id: int, scene: Scene) -> None:
        """Take a scene; its image is ``{split}2017/{image_id:012d}.jpg``. Scenes come with ids from 1 up."""
        for number, asked in enumerate(self._chooser.choose(ask(scene), _QUESTIONS)):
            self._ask({"image_id": image_id, "question_id": 1000 * image_id + number}, *asked)
        texts = list(dict.fromkeys(describe(scene, self.rng) for _ in range(_DESCRIPTIONS)))
        self._describe(image_id, texts)
        self._counts.append(count_things(scene))
        for number, item in enumerate(scene.objects):
            if not item.crowd:
                path = self.folder / "classes" / self.split / item.name / f"{image_id:012d}_{number}.png"
                write_image(path, _crop(scene, item)[..., ::-1])

    def close(self) -> None:
        """Write the annotations; the images must be there."""
        for name, entries in (("questions", self._questions), ("annotations", self._annotations)):
            write_json(self.folder / "vqa" / f"{name}_{self.split}2017.json", {name: entries})
        if self.split == "train":
            answers = {annotation["multiple_choice_answer"] for annotation in self._annotations}
            write_lines(self.folder / "vqa" / "answers.txt", sorted(answers))
        write_json(self.folder / f"captions_{self.split}2017.json", {"images": self._described, "dataset": "shapes"})
        path = self.folder / "nlvr2" / f"{_PAIR_SPLITS[self.split]}.json"
        self._stated = list(self._statements())
        write_lines(path, map(json.dumps, self._stated))

    @property
    def sentences(self) -> list[str]:
        """All questions and statements, once closed."""
        return [asked["question"] for asked in self._questions] + [stated["sentence"] for stated in self._stated]

    def _ask(self, ids: dict[str, int], kind: str, question: str, answer: str) -> None:
        people = [{"answer": answer, "answer_confidence": "yes", "answer_id": number + 1} for number in range(_PEOPLE)]
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

    def _describe(self, image_id: int, texts: list[str]) -> None:
        number = len(self._described)
        ids = [_DESCRIPTIONS * number + place for place in range(len(texts))]
        sentences = [
            {"raw": text, "tokens": text.replace(",", "").split(), "imgid": number, "sentid": sentid}
            for text, sentid in zip(texts, ids, strict=True)
        ]
        self._described.append(
            {
                "filepath": f"{self.split}2017",
                "filename": f"{image_id:012d}.jpg",
                "imgid": number,
                "split": self.split,
                "sentences": sentences,
                "sentids": ids,
            }
        )

    def _statements(self) -> Iterator[dict[str, Any]]:
        """Make pairs of images, link them to their names in NLVR2, and state things about them."""
        split = _PAIR_SPLITS[self.split]
        chooser = Chooser(self.rng)
        order = np.concatenate([self.rng.permutation(len(self._counts)) for _ in range(_PAIRS)])
        for number, pair in enumerate(order[: len(order) // 2 * 2].reshape(-1, 2)):
            # As in NLVR2, only training images are spread over folders.
            entry = {"directory": number % _FOLDERS} if split == "train" else {}
            images = self.folder / "nlvr2" / "images" / split / str(entry.get("directory", ""))
            images.mkdir(parents=True, exist_ok=True)
            for side, index in enumerate(pair):
                # Whatever reads it looks at the content, which is JPEG.
                link(self.folder / f"{self.split}2017" / f"{index + 1:012d}.jpg", images / f"{split}-{number}-0-img{side}.png")
            left, right = (self._counts[index] for index in pair)
            for place, (_, statement, truth) in enumerate(chooser.choose(state(left, right), _STATEMENTS)):
                yield {"identifier": f"{split}-{number}-0-{place}", "sentence": statement, "label": truth, **entry}


def _crop(scene: Scene, item: SceneObject) -> np.ndarray:
    """The square around a thing, moved to where it is inside the image: (S, S, 3)."""
    size = len(item.mask)
    places = np.argwhere(item.mask)
    least, most = places.min(axis=0), places.max(axis=0) + 1
    side = min(int(_MARGIN * (most - least).max()), size)
    top, left = np.clip((least + most - side) // 2, 0, size - side)
    return scene.image[top : top + side, left : left + side]
