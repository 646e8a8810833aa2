"""The transforms of a config's test pipeline for single images and texts, without its dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS

from mmbeit3.datasets.collate import collate_samples
from mmbeit3.datasets.task_transforms import PackTask
from mmbeit3.errors import UserError, one_line
from mmbeit3.images import ImageInput, read_pixels

__all__ = ["Batch", "Query", "TaskPipeline", "find_tokenizer", "load_batch"]

_NOT_FOR_IMAGES = ("EncodeText", "PackTask", "VQALabels")
"""Transforms of a test pipeline that do not process images."""


@dataclass(frozen=True)
class Query:
    """One input of a model: images, a text, or both.

    Attributes:
        images: the images as given by the user; empty for a text alone.
        text: the text, or None.
    """

    images: tuple[ImageInput, ...] = ()
    text: str | None = None


class TaskPipeline:
    """The transforms of a config's test dataset, without those that read files or add labels.

    Args:
        cfg: the config of a task.

    Raises:
        UserError: if the config has no test pipeline, or it cannot be built.
    """

    def __init__(self, cfg: Config) -> None:
        images, text = _image_steps(cfg), _text_step(cfg)
        try:
            self.transform_image = Compose([TRANSFORMS.build(step) for step in images])
            self.encode_text = None if text is None else TRANSFORMS.build(text)
        except (ValueError, KeyError, TypeError) as error:
            # Remove the quotes of a KeyError, and MMEngine's advice about registries after the reason.
            reason = one_line(error).strip("'").partition(". Please")[0]
            raise UserError(
                f"the test pipeline of the config cannot be built ({reason}): if it needs mmpretrain, "
                "pip install 'mmbeit3[tasks]'"
            ) from error
        self.pack = PackTask()

    def __call__(self, pixels: Sequence[np.ndarray], text: str | None = None) -> dict[str, Any]:
        """Make a sample for :func:`~mmbeit3.datasets.collate.collate_samples`.

        Args:
            pixels: images, uint8 (H, W, 3), BGR.
            text: the text, or None.

        Returns:
            A sample with the inputs of the model.

        Raises:
            UserError: if the text has no tokens.
            ValueError: if there is a text, but the config's pipeline does not encode texts.
        """
        results: dict[str, Any] = {}
        if pixels:
            results["img"] = [self._image(image) for image in pixels]
        if text is not None:
            if self.encode_text is None:
                raise ValueError("the config's test pipeline has no EncodeText")
            results[self.encode_text.key] = text
            results = self.encode_text(results)
        return self.pack(results)

    def _image(self, pixels: np.ndarray) -> np.ndarray:
        size = pixels.shape[:2]
        return self.transform_image({"img": pixels, "img_shape": size, "ori_shape": size})["img"]


@dataclass(frozen=True)
class Batch:
    """Queries with their images read, and the input tensors of the model.

    Attributes:
        queries: the queries whose images could be read.
        pixels: the images of each query, uint8 (H, W, 3), BGR.
        inputs: the batch for the model; None if there are no queries.
        errors: the error of each image that could not be read, by its name.
    """

    queries: list[Query]
    pixels: list[list[np.ndarray]]
    inputs: dict[str, Any] | None
    errors: dict[str, str]


def load_batch(pipeline: TaskPipeline, queries: Sequence[Query], skip_unreadable: bool = False) -> Batch:
    """Read the images of queries and make a batch.

    Args:
        pipeline: transforms of the images and texts.
        queries: the queries.
        skip_unreadable: True to skip queries with a file that cannot be read as an image.

    Raises:
        UserError: if an image cannot be read, unless it is skipped.
    """
    kept: list[Query] = []
    pixels: list[list[np.ndarray]] = []
    errors: dict[str, str] = {}
    for query in queries:
        read: list[np.ndarray] = []
        for image in query.images:
            try:
                read.append(read_pixels(image))
            except UserError as error:
                if not skip_unreadable or not isinstance(image, str | Path):
                    raise
                errors[str(image)] = str(error)
        if len(read) == len(query.images):
            kept.append(query)
            pixels.append(read)
    samples = [pipeline(images, query.text) for images, query in zip(pixels, kept, strict=True)]
    return Batch(kept, pixels, collate_samples(samples) if samples else None, errors)


def find_tokenizer(cfg: Config) -> str | None:
    """Return the tokenizer file of a config's test pipeline, or None if it does not encode texts."""
    step = _text_step(cfg)
    return None if step is None else step["tokenizer"]


def _text_step(cfg: Config) -> Mapping[str, Any] | None:
    steps = (step for pipeline in _pipelines(_dataset(cfg)) for step in pipeline)
    return next((step for step in steps if _kind(step) == "EncodeText"), None)


def _image_steps(cfg: Config) -> list[Mapping[str, Any]]:
    """Return the image transforms of the first pipeline that reads images, without the reading."""
    for pipeline in map(list, _pipelines(_dataset(cfg))):
        # ApplyToList holds the transforms for samples with several images; each image gets the same ones.
        flat = [part for step in pipeline for part in (step["transforms"] if _kind(step) == "ApplyToList" else [step])]
        kept = [step for step in flat if not _kind(step).startswith("Load")]
        if len(kept) < len(flat):
            return [step for step in kept if _kind(step) not in _NOT_FOR_IMAGES]
    raise UserError("the config has no test pipeline that loads images: add one to test_dataloader.dataset")


def _dataset(cfg: Config) -> Mapping[str, Any]:
    return (cfg.get("test_dataloader") or {}).get("dataset") or {}


def _pipelines(dataset: Mapping[str, Any]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Yield the pipelines of a dataset and of the datasets that it wraps."""
    if "pipeline" in dataset:
        yield dataset["pipeline"]
    wrapped = [dataset["dataset"]] if "dataset" in dataset else dataset.get("datasets", [])
    for part in wrapped:
        yield from _pipelines(part)


def _kind(step: Mapping[str, Any]) -> str:
    kind = step["type"]
    return kind.__name__ if isinstance(kind, type) else kind.split(".")[-1]
