"""Example predictions of task models, as figures for reports."""

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

_FIGURES_PER_ROW = 4


def show_answers(model: BaseModel, cfg: Config, count: int = 12) -> list[list[Figure]]:
    """Show images with a question, the answer of a VQA model, and the ground truth.

    Args:
        model: the model in evaluation mode.
        cfg: config of the model; the examples are from its validation data.
        count: number of examples, spread evenly over the data.

    Returns:
        Rows of figures.
    """
    figures = []
    for entry, inputs, result in _predict(model, cfg, count):
        predicted, truth = result["pred_answer"], result["gt_answers"][0]
        figures.append(Figure(_picture(inputs["image"]), f"{entry['question']}? {_judge(predicted, truth)}"))
    return _rows(figures)


def show_statements(model: BaseModel, cfg: Config, count: int = 8) -> list[list[Figure]]:
    """Show image pairs with a statement, the prediction of an NLVR2 model, and the ground truth; see :func:`show_answers`."""
    words = ("false", "true")
    figures = []
    for entry, inputs, result in _predict(model, cfg, count):
        predicted, truth = words[int(result["pred_label"])], words[int(result["gt_label"])]
        figures.append(Figure(_picture(inputs["image"]), entry["text"]))
        figures.append(Figure(_picture(inputs["image2"]), _judge(predicted, truth)))
    return _rows(figures)


def show_classes(model: BaseModel, cfg: Config, count: int = 12) -> list[list[Figure]]:
    """Show images with the predicted class and the ground truth; see :func:`show_answers`."""
    classes = cfg.val_dataloader.dataset.metainfo.classes
    return _rows(
        [
            Figure(_picture(inputs["image"]), _judge(classes[int(result["pred_label"])], classes[int(result["gt_label"])]))
            for _, inputs, result in _predict(model, cfg, count)
        ]
    )


def show_captions(model: BaseModel, cfg: Config, count: int = 8) -> list[list[Figure]]:
    """Show images with the predicted caption and the first reference caption; see :func:`show_answers`."""
    return _rows(
        [
            Figure(_picture(inputs["image"]), f"{result['pred_caption']} (true: {result['gt_captions'][0]})")
            for _, inputs, result in _predict(model, cfg, count)
        ]
    )


def show_retrieval(model: BaseModel, cfg: Config, count: int = 4) -> list[list[Figure]]:
    """Show retrieval results: a row of images with their three closest texts, and for each text a row of its closest images.

    Args:
        model: the model in evaluation mode.
        cfg: config of the model; its validation data is a ``ConcatDataset`` of images and texts.
        count: number of images, and number of texts.

    Returns:
        Rows of figures.
    """
    data = _dataset(cfg)
    assert isinstance(data, ConcatDataset)
    images, texts = data.datasets
    image_samples, text_samples = ([part[index] for index in range(len(part))] for part in (images, texts))
    image_results, text_results = _run(model, image_samples), _run(model, text_samples)
    features = stack([one["image_feature"] for one in image_results]), stack([one["text_feature"] for one in text_results])
    similarity = features[0] @ features[1].T
    owner, text_owner = ([one["image_id"] for one in results] for results in (image_results, text_results))
    sentences = [texts.get_data_info(index)["text"] for index in range(len(texts))]
    pictures = [_picture(one["inputs"]["image"]) for one in image_samples]
    by_image, by_text = [], []
    for index in _spread(len(images), count):
        found = [f"{_mark(text_owner[place] == owner[index])} {sentences[place]}" for place in _top(similarity[index])]
        by_image.append(Figure(pictures[index], "; ".join(found)))
    for index in _spread(len(texts), count):
        marks = [(place, _mark(owner[place] == text_owner[index])) for place in _top(similarity[:, index])]
        by_text.append([Figure(pictures[place], f"{mark} {sentences[index]}") for place, mark in marks])
    return [by_image, *by_text]


def _predict(model: BaseModel, cfg: Config, count: int) -> list[tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]]:
    """Return dataset entries, their input tensors, and their samples with predictions."""
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
    """Convert an image tensor (3, H, W) to an array (H, W, 3)."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def _judge(predicted: str, truth: str) -> str:
    return f"{_mark(predicted == truth)} {predicted}" + ("" if predicted == truth else f" (true: {truth})")


def _mark(right: bool) -> str:
    return "✓" if right else "✗"


def _rows(figures: Sequence[Figure]) -> list[list[Figure]]:
    return [list(figures[start : start + _FIGURES_PER_ROW]) for start in range(0, len(figures), _FIGURES_PER_ROW)]
