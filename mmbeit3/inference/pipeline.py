"""What a config's test pipeline does to images and texts, without its dataset."""

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


@dataclass(frozen=True)
class Query:
    """What is asked of a model in one go.

    Attributes:
        images: as given.
        text: the text, where there is one.
    """

    images: tuple[ImageInput, ...] = ()
    text: str | None = None


class TaskPipeline:
    """The transforms of a config's test dataset, but for reading files and what tells the truth.

    Args:
        cfg: a task's config.

    Raises:
        UserError: if the config has no such pipeline, or one that cannot be built.
    """

    def __init__(self, cfg: Config) -> None:
        images, text = _image_steps(cfg), _text_step(cfg)
        try:
            self.transform_image = Compose([TRANSFORMS.build(step) for step in images])
            self.encode_text = None if text is None else TRANSFORMS.build(text)
        except (ValueError, KeyError, TypeError) as error:
            # A KeyError is shown in quotes, and MMEngine's goes on with advice about registries.
            reason = one_line(error).strip("'").partition(". Please")[0]
            raise UserError(
                f"the test pipeline of the config cannot be built ({reason}): where it names mmpretrain, "
                "pip install 'mmbeit3[tasks]'"
            ) from error
        self.pack = PackTask()

    def __call__(self, pixels: Sequence[np.ndarray], text: str | None = None) -> dict[str, Any]:
        """Make a sample for :func:`~mmbeit3.datasets.collate.collate_samples`.

        Args:
            pixels: images, uint8 (H, W, 3), BGR.
            text: the text that belongs to them.

        Raises:
            UserError: if the text has no tokens.
            ValueError: if there is a text and the config's pipeline has no place for one.
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
    """Queries that are read and prepared.

    Attributes:
        queries: those whose images could be read.
        pixels: of each one's images, uint8 (H, W, 3), BGR.
        inputs: a batch for the model; None if there are no queries.
        refusals: what is wrong with each image that could not be read, by its name.
    """

    queries: list[Query]
    pixels: list[list[np.ndarray]]
    inputs: dict[str, Any] | None
    refusals: dict[str, str]


def load_batch(pipeline: TaskPipeline, queries: Sequence[Query], leave_out: bool = False) -> Batch:
    """Read and prepare queries.

    Args:
        pipeline: prepares them.
        queries: what to read.
        leave_out: whether queries with an image that cannot be read are left out.

    Raises:
        UserError: if an image cannot be read, unless it is left out.
    """
    kept: list[Query] = []
    pixels: list[list[np.ndarray]] = []
    refusals: dict[str, str] = {}
    for query in queries:
        read: list[np.ndarray] = []
        for image in query.images:
            try:
                read.append(read_pixels(image))
            except UserError as error:
                if not leave_out or not isinstance(image, str | Path):
                    raise
                refusals[str(image)] = str(error)
        if len(read) == len(query.images):
            kept.append(query)
            pixels.append(read)
    samples = [pipeline(images, query.text) for images, query in zip(pixels, kept, strict=True)]
    return Batch(kept, pixels, collate_samples(samples) if samples else None, refusals)


def find_tokenizer(cfg: Config) -> str | None:
    """The file of the tokenizer by which a config's test pipeline encodes texts."""
    step = _text_step(cfg)
    return None if step is None else step["tokenizer"]


def _text_step(cfg: Config) -> Mapping[str, Any] | None:
    steps = (step for pipeline in _pipelines(_dataset(cfg)) for step in pipeline)
    return next((step for step in steps if _kind(step) == "EncodeText"), None)


def _image_steps(cfg: Config) -> list[Mapping[str, Any]]:
    """Of the first pipeline that reads images, what comes after."""
    for pipeline in map(list, _pipelines(_dataset(cfg))):
        # Several images of one sample go through the same steps.
        flat = [part for step in pipeline for part in (step["transforms"] if _kind(step) == "ApplyToList" else [step])]
        kept = [step for step in flat if not _kind(step).startswith("Load")]
        if len(kept) < len(flat):
            return [step for step in kept if _kind(step) not in _NOT_FOR_IMAGES]
    raise UserError("the config has no test pipeline that loads images: give one to test_dataloader.dataset")


def _dataset(cfg: Config) -> Mapping[str, Any]:
    return (cfg.get("test_dataloader") or {}).get("dataset") or {}


def _pipelines(dataset: Mapping[str, Any]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """The pipelines of a dataset and of those that it wraps."""
    if "pipeline" in dataset:
        yield dataset["pipeline"]
    wrapped = [dataset["dataset"]] if "dataset" in dataset else dataset.get("datasets", [])
    for part in wrapped:
        yield from _pipelines(part)


def _kind(step: Mapping[str, Any]) -> str:
    kind = step["type"]
    return kind.__name__ if isinstance(kind, type) else kind.split(".")[-1]
