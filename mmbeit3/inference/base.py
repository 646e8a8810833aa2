"""Base class of the inferencers: build the model from config and checkpoint, and run queries in batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypedDict

import numpy as np
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.registry import MODELS, init_default_scope
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from mmbeit3.datasets.collate import collate_samples
from mmbeit3.datasets.task_checks import check_task
from mmbeit3.errors import UserError, one_line
from mmbeit3.inference.drawing import draw_with_text, make_folder, write_picture
from mmbeit3.inference.images import name_image
from mmbeit3.inference.pipeline import Query, TaskPipeline, load_batch
from mmbeit3.ops import replace_layers
from mmbeit3.runner.config import read_config
from mmbeit3.runner.weights import load_trained, move_to_device
from mmbeit3.tasks.base import TaskModel
from mmbeit3.text.tokenizer import report_unknown

__all__ = ["InferOptions", "TaskInferencer", "broadcast", "check_texts", "open_config", "top_labels"]


class InferOptions(TypedDict, total=False):
    """Keyword options that the calls of all inferencers accept.

    Attributes:
        batch_size: number of queries per forward pass; default 1.
        return_vis: True to return pictures; default False.
        out_dir: folder to write pictures to; default None, which writes none.
        show_progress: True for a progress bar; default None, the setting of the inferencer.
    """

    batch_size: int
    return_vis: bool
    out_dir: str | Path | None
    show_progress: bool | None


class TaskInferencer(BaseInferencer):
    """Predictions of a task model, built from its config and a checkpoint.

    Images are read, transformed and drawn batch by batch. Only the given config is executed, never one inside a checkpoint.

    Args:
        model: config file, or a config.
        weights: path or URL of a checkpoint in any supported layout; it is read without executing code in it.
        device: device such as ``'cuda:0'``; default the one that MMEngine finds.
        show_progress: True if calls show a progress bar by default.

    Raises:
        UserError: if config or checkpoint cannot be used, or are not of this task.
    """

    models: ClassVar[tuple[type[TaskModel], ...]]
    """Model classes of this task."""
    reads_text: ClassVar[bool] = True
    """True if queries have texts."""

    def __init__(
        self,
        model: str | Path | Config | Mapping[str, Any],
        weights: str | Path,
        device: str | None = None,
        show_progress: bool = True,
    ) -> None:
        cfg = open_config(model)
        check_task(cfg, ("test",))
        scope = cfg.get("default_scope", "mmengine")
        init_default_scope(scope)
        super().__init__(cfg, str(weights), device, scope, show_progress)

    def infer(
        self,
        queries: Sequence[Query],
        postprocess: Callable[[Query, Mapping[str, Any]], dict[str, Any]],
        batch_size: int = 1,
        return_vis: bool = False,
        out_dir: str | Path | None = None,
        show_progress: bool | None = None,
        skip_unreadable: bool = False,
        forward_options: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Predict, and draw pictures if requested.

        Args:
            queries: the inputs.
            postprocess: converts a query and its sample with the model's predictions to a dict of plain values.
            batch_size, return_vis, out_dir, show_progress: see :class:`InferOptions`.
            skip_unreadable: True to skip and log images that cannot be read, as for folders; False to raise an error.
            forward_options: keyword arguments for :meth:`forward`.

        Returns:
            ``predictions``, one plain dict per query; ``visualization``, the pictures, uint8 (H, W, 3), RGB, an empty list
            unless ``return_vis``; and ``unreadable``, a dict from the names of skipped images to the errors.

        Raises:
            UserError: if an image cannot be read (with ``skip_unreadable``: if no image can be read), or a picture cannot be
                written.
        """
        if self.pipeline.encode_text is not None:
            texts = [query.text for query in queries if query.text is not None]
            report_unknown(self.pipeline.encode_text.tokenizer, texts, "texts")
        folder = None if out_dir is None else make_folder(out_dir)
        predictions: list[dict[str, Any]] = []
        pictures: list[np.ndarray] = []
        unreadable: dict[str, str] = {}
        load = partial(load_batch, self.pipeline, skip_unreadable=skip_unreadable)
        for batch in self.batches(queries, load, batch_size, show_progress):
            for name, error in batch.errors.items():
                unreadable[name] = error
                print_log(f"skipped: {error}", "current", logging.WARNING)
            results = [] if batch.inputs is None else self.forward(batch.inputs, **(forward_options or {}))
            for query, images, result in zip(batch.queries, batch.pixels, results, strict=True):
                prediction = postprocess(query, result)
                if return_vis or folder is not None:
                    picture = self.visualize(images, prediction)
                    if folder is not None:
                        name = name_image(query.images[0]) if query.images else query.text
                        write_picture(folder, len(predictions), name, picture)
                    if return_vis:
                        pictures.append(picture)
                predictions.append(prediction)
        if unreadable and not predictions:
            raise UserError(f"none of {len(queries)} inputs can be read, first error: {next(iter(unreadable.values()))}")
        return {"predictions": predictions, "visualization": pictures, "unreadable": unreadable}

    def batches(
        self,
        items: Sequence[Any],
        load: Callable[[Sequence[Any]], Any],
        batch_size: int,
        show_progress: bool | None,
        num_workers: int = 0,
    ) -> Any:
        """Load items batch by batch, with a progress bar.

        Args:
            items: the items to load.
            load: makes a batch from a list of items.
            batch_size: number of items per batch.
            show_progress: see :class:`InferOptions`.
            num_workers: number of worker processes; 0 loads in this process.

        Returns:
            An iterator over batches.

        Raises:
            UserError: if ``batch_size`` is not a positive integer.
        """
        if type(batch_size) is not int or batch_size < 1:
            raise UserError(f"batch_size must be a whole number from 1, got {batch_size!r}")
        loader: DataLoader[Any] = DataLoader(items, batch_size, collate_fn=load, num_workers=num_workers)  # type: ignore[arg-type]
        shown = self.show_progress if show_progress is None else show_progress
        return track(loader, description="Inference", total=len(loader), disable=not shown)

    def visualize(self, images: Sequence[np.ndarray], prediction: Mapping[str, Any]) -> np.ndarray:
        """Draw a prediction below its images.

        Args:
            images: uint8 (H, W, 3), BGR.
            prediction: a prediction as a call returns it.

        Returns:
            uint8 (H', W', 3), RGB.
        """
        return draw_with_text(images, self.lines(prediction))

    def lines(self, prediction: Mapping[str, Any]) -> list[str]:
        """Return the lines of text of a picture."""
        raise NotImplementedError

    def _init_model(self, cfg: Config, weights: str, device: str = "cpu") -> TaskModel:
        try:
            model = MODELS.build(cfg.model)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"the model of the config cannot be built: {one_line(error)}") from error
        if not isinstance(model, self.models):
            wanted = " or ".join(kind.__name__ for kind in self.models)
            raise UserError(f"{type(self).__name__} needs a config of {wanted}, but this one is of {type(model).__name__}")
        load_trained(model, weights)
        replace_layers(model)
        return move_to_device(model, device).eval()

    def _init_pipeline(self, cfg: Config) -> TaskPipeline:
        pipeline = TaskPipeline(cfg)
        if self.reads_text and pipeline.encode_text is None:
            raise UserError(f"{type(self).__name__} reads texts, but the test pipeline of the config has no EncodeText: add it")
        return pipeline

    def _init_collate(self, cfg: Config) -> Callable[..., dict[str, Any]]:
        return collate_samples

    def _init_visualizer(self, cfg: Config) -> None:
        """Build no MMEngine visualizer: :meth:`visualize` draws the predictions."""


def open_config(model: str | Path | Config | Mapping[str, Any]) -> Config:
    """Read a config from a file, or copy a config.

    Raises:
        UserError: if the file cannot be read, or the config has no model.
    """
    if isinstance(model, str | Path):
        cfg = read_config(model)
    else:
        cfg = deepcopy(model) if isinstance(model, Config) else Config(deepcopy(dict(model)))
    if not cfg.get("model"):
        raise UserError("the config has no model: give the config of a task, such as those in configs/vqa")
    return cfg


def check_texts(texts: str | Sequence[str], what: str) -> list[str]:
    """Return one or several texts as a list of non-empty strings.

    Args:
        texts: a string, or several.
        what: singular name of the texts, for messages.

    Raises:
        UserError: if there is no text, or one is empty or not a string.
    """
    if not isinstance(texts, Iterable):
        raise UserError(f"{what}s have the type {type(texts).__name__}: give a string or a list of strings")
    listed = [texts] if isinstance(texts, str) else list(texts)
    if not listed:
        raise UserError(f"the list of {what}s is empty: give at least one")
    for number, text in enumerate(listed):
        if not isinstance(text, str):
            raise UserError(f"{what} {number} is not a string but {type(text).__name__}: give a string")
        if not text.strip():
            raise UserError(f"{what} {number} is empty ({text[:20]!r}): give at least one word")
    return listed


def broadcast(**columns: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Combine columns to rows; a column of length 1 is repeated for every row.

    Args:
        **columns: the columns by name; the names are for messages.

    Raises:
        UserError: if columns with more than one entry differ in length.
    """
    count = max(map(len, columns.values()))
    if any(len(column) not in (1, count) for column in columns.values()):
        given = ", ".join(f"{len(column)} {name}" for name, column in columns.items())
        raise UserError(f"got {given}: give the same number of each, or one for all")
    return list(zip(*(list(column) * (count if len(column) == 1 else 1) for column in columns.values()), strict=True))


def top_labels(scores: Tensor, names: Sequence[str] | None, count: int) -> list[dict[str, Any]]:
    """Return the highest scores of (C,), descending, each as a dict of ``label``, ``score`` and, with ``names``, ``name``.

    Raises:
        UserError: if ``count`` is below 1.
    """
    if count < 1:
        raise UserError(f"top_k must be at least 1, got {count}")
    values, labels = scores.topk(min(count, len(scores)))
    found = [{"label": label, "score": value} for label, value in zip(labels.tolist(), values.tolist(), strict=True)]
    return found if names is None else [{**each, "name": names[each["label"]]} for each in found]
