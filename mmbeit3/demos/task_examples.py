"""Examples of what models of the tasks say, for reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import ConcatDataset
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, init_default_scope
from torch import Tensor, no_grad, stack

from mmbeit3.datasets.collate import collate_samples
from mmbeit3.runner.loading import use_checked_loading
from mmbeit3.visualization import Figure

__all__ = ["show_answers", "show_captions", "show_classes", "show_retrieval", "show_statements"]

_IN_A_ROW = 4


def show_answers(model: BaseModel, cfg: Config, count: int = 12) -> list[list[Figure]]:
    """Images with a question each, the answer of a VQA model, and the true one.

    Args:
        model: in evaluation mode.
        cfg: its config, whose validation data is shown.
        count: how many examples, spread over the data.
    """
    figures = []
    for entry, inputs, result in _predict(model, cfg, count):
        said, true = result["pred_answer"], result["gt_answers"][0]
        figures.append(Figure(_picture(inputs["image"]), f"{entry['question']}? {_judged(said, true)}"))
    return _rows(figures)


def show_statements(model: BaseModel, cfg: Config, count: int = 8) -> list[list[Figure]]:
    """Pairs of images with a statement, what an NLVR2 model says of it, and the truth; see :func:`show_answers`."""
    words = ("false", "true")
    figures = []
    for entry, inputs, result in _predict(model, cfg, count):
        said, true = words[int(result["pred_label"])], words[int(result["gt_label"])]
        figures.append(Figure(_picture(inputs["image"]), entry["text"]))
        figures.append(Figure(_picture(inputs["image2"]), _judged(said, true)))
    return _rows(figures)


def show_classes(model: BaseModel, cfg: Config, count: int = 12) -> list[list[Figure]]:
    """Images with the class that a model tells, and the true one; see :func:`show_answers`."""
    classes = cfg.val_dataloader.dataset.metainfo.classes
    return _rows(
        [
            Figure(_picture(inputs["image"]), _judged(classes[int(result["pred_label"])], classes[int(result["gt_label"])]))
            for _, inputs, result in _predict(model, cfg, count)
        ]
    )


def show_captions(model: BaseModel, cfg: Config, count: int = 8) -> list[list[Figure]]:
    """Images with a model's caption, and the first of those to compare with; see :func:`show_answers`."""
    return _rows(
        [
            Figure(_picture(inputs["image"]), f"{result['pred_caption']} (true: {result['gt_captions'][0]})")
            for _, inputs, result in _predict(model, cfg, count)
        ]
    )


def show_retrieval(model: BaseModel, cfg: Config, count: int = 4) -> list[list[Figure]]:
    """A row of images, each with the three texts it finds, and rows of the three images that a text finds.

    Args:
        model: in evaluation mode.
        cfg: its config; its validation data is a ``ConcatDataset`` of images and texts.
        count: how many images, and how many texts.
    """
    data = _dataset(cfg)
    assert isinstance(data, ConcatDataset)
    images, texts = data.datasets
    image_samples, text_samples = ([part[index] for index in range(len(part))] for part in (images, texts))
    image_results, text_results = _run(model, image_samples), _run(model, text_samples)
    features = stack([one["image_feature"] for one in image_results]), stack([one["text_feature"] for one in text_results])
    similarity = features[0] @ features[1].T
    owner, text_owner = ([one["image_id"] for one in results] for results in (image_results, text_results))
    said = [texts.get_data_info(index)["text"] for index in range(len(texts))]
    pictures = [_picture(one["inputs"]["image"]) for one in image_samples]
    by_image, by_text = [], []
    for index in _spread(len(images), count):
        found = [f"{_mark(text_owner[place] == owner[index])} {said[place]}" for place in _top(similarity[index])]
        by_image.append(Figure(pictures[index], "; ".join(found)))
    for index in _spread(len(texts), count):
        marks = [(place, _mark(owner[place] == text_owner[index])) for place in _top(similarity[:, index])]
        by_text.append([Figure(pictures[place], f"{mark} {said[index]}") for place, mark in marks])
    return [by_image, *by_text]


def _predict(model: BaseModel, cfg: Config, count: int) -> list[tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]]:
    """Entries of the dataset, their inputs, and the samples with predictions."""
    data = _dataset(cfg)
    places = _spread(len(data), count)
    samples = [data[place] for place in places]
    entries = [data.get_data_info(place) for place in places]
    return list(zip(entries, [sample["inputs"] for sample in samples], _run(model, samples), strict=True))


def _dataset(cfg: Config) -> Any:
    init_default_scope(cfg.default_scope)
    return DATASETS.build(use_checked_loading(cfg.val_dataloader, cfg)["dataset"])


def _run(model: BaseModel, samples: Sequence[Any]) -> list[dict[str, Any]]:
    with no_grad():
        return model.test_step(collate_samples(samples))


def _spread(total: int, count: int) -> list[int]:
    return [int(place) for place in np.linspace(0, total - 1, min(count, total))]


def _top(similarity: Tensor) -> list[int]:
    return similarity.topk(min(3, len(similarity))).indices.tolist()


def _picture(image: Tensor) -> np.ndarray:
    """(3, H, W) to (H, W, 3)."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def _judged(said: str, true: str) -> str:
    return f"{_mark(said == true)} {said}" + ("" if said == true else f" (true: {true})")


def _mark(right: bool) -> str:
    return "✓" if right else "✗"


def _rows(figures: Sequence[Figure]) -> list[list[Figure]]:
    return [list(figures[start : start + _IN_A_ROW]) for start in range(0, len(figures), _IN_A_ROW)]
