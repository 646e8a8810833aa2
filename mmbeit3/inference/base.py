"""What the inferencers share: a model from config and checkpoint, and the way from queries to predictions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

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
from mmbeit3.ops import replace_linears
from mmbeit3.runner.config import read_config
from mmbeit3.runner.weights import load_trained
from mmbeit3.tasks.base import TaskModel
from mmbeit3.text.tokenizer import report_unknown

__all__ = ["TaskInferencer", "align", "check_texts", "open_config", "top_labels"]


class TaskInferencer(BaseInferencer):
    """A task's model from its config and a checkpoint, and predictions batch by batch.

    Images are read, transformed and drawn one batch at a time. The config comes from the user alone: one inside a checkpoint
    is never run.

    Args:
        model: config file, or a config.
        weights: path or URL of a checkpoint of any layout, read safely.
        device: such as ``'cuda:0'``; default what MMEngine finds.
        show_progress: whether calls show a progress bar, unless told otherwise.

    Raises:
        UserError: if config or checkpoint cannot be used, or are not of this task.
    """

    models: ClassVar[tuple[type[TaskModel], ...]]
    """Models of this task."""
    reads_text: ClassVar[bool] = True
    """Whether queries have texts."""

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
        leave_out: bool = False,
        **wanted: Any,
    ) -> dict[str, Any]:
        """Predict, and draw if wanted.

        Args:
            queries: what to predict on.
            postprocess: says in plain values what the model made of a query, from the sample with the model's predictions.
            batch_size: queries that go through the model at once.
            return_vis: whether to return pictures.
            out_dir: folder to write pictures to.
            show_progress: whether to show a progress bar; default as the inferencer was made.
            leave_out: whether images that cannot be read are left out and logged, as those of folders are.
            **wanted: for :meth:`forward`.

        Returns:
            ``predictions``, a plain dict for each query; ``visualization``, pictures, uint8 (H, W, 3), RGB, or none; and
            ``unreadable``, names of the images that were left out, with what is wrong with each.

        Raises:
            UserError: if an image, or none of those that may be left out, can be read, or a picture cannot be written.
        """
        if self.pipeline.encode_text is not None:
            texts = [query.text for query in queries if query.text is not None]
            report_unknown(self.pipeline.encode_text.tokenizer, texts, "texts")
        folder = None if out_dir is None else make_folder(out_dir)
        predictions: list[dict[str, Any]] = []
        pictures: list[np.ndarray] = []
        unreadable: dict[str, str] = {}
        load = partial(load_batch, self.pipeline, leave_out=leave_out)
        for batch in self.batches(queries, load, batch_size, show_progress):
            for name, refusal in batch.refusals.items():
                unreadable[name] = refusal
                print_log(f"left out: {refusal}", "current", logging.WARNING)
            results = [] if batch.inputs is None else self.forward(batch.inputs, **wanted)
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
            raise UserError(f"none of {len(queries)} can be answered: {next(iter(unreadable.values()))}")
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
            items: what to load.
            load: makes a batch of some of them.
            batch_size: how many.
            show_progress: see :meth:`infer`.
            num_workers: processes that load; 0 for this one.

        Returns:
            An iterator over batches.

        Raises:
            UserError: if batches would have no items.
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
            prediction: as calls return it.

        Returns:
            uint8 (H', W', 3), RGB.
        """
        return draw_with_text(images, self.lines(prediction))

    def lines(self, prediction: Mapping[str, Any]) -> list[str]:
        """The text of a picture."""
        raise NotImplementedError

    def _init_model(self, cfg: Config, weights: str, device: str = "cpu") -> TaskModel:
        try:
            model = MODELS.build(cfg.model)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"the model of the config cannot be built: {one_line(error)}") from error
        if not isinstance(model, self.models):
            wanted = " or ".join(kind.__name__ for kind in self.models)
            raise UserError(f"{type(self).__name__} wants a config of {wanted}, and this one is of {type(model).__name__}")
        load_trained(model, weights)
        replace_linears(model)
        try:
            return model.to(device).eval()
        except (RuntimeError, AssertionError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"device '{device}' cannot be used ({reason}): give cpu, or cuda where there is a GPU") from error

    def _init_pipeline(self, cfg: Config) -> TaskPipeline:
        pipeline = TaskPipeline(cfg)
        if self.reads_text and pipeline.encode_text is None:
            raise UserError(f"{type(self).__name__} reads texts, but the test pipeline of the config has no EncodeText: add it")
        return pipeline

    def _init_collate(self, cfg: Config) -> Callable[..., dict[str, Any]]:
        return collate_samples

    def _init_visualizer(self, cfg: Config) -> None:
        """There is none: predictions are drawn by :meth:`visualize`."""


def open_config(model: str | Path | Config | Mapping[str, Any]) -> Config:
    """A config from a file, or a copy of one.

    Raises:
        UserError: if the file cannot be read, or there is no model in it.
    """
    if isinstance(model, str | Path):
        cfg = read_config(model)
    else:
        cfg = deepcopy(model) if isinstance(model, Config) else Config(deepcopy(dict(model)))
    if not cfg.get("model"):
        raise UserError("the config has no model: give one of a task, such as those of configs/vqa")
    return cfg


def check_texts(texts: str | Sequence[str], what: str) -> list[str]:
    """One text or several as a list.

    Raises:
        UserError: if there is none, or one is empty or no text.
    """
    if not isinstance(texts, Iterable):
        raise UserError(f"{what}s are {type(texts).__name__}: give a string or a list of them")
    listed = [texts] if isinstance(texts, str) else list(texts)
    if not listed:
        raise UserError(f"the list of {what}s is empty: give at least one")
    for number, text in enumerate(listed):
        if not isinstance(text, str):
            raise UserError(f"{what} {number} is no text but {type(text).__name__}: give a string")
        if not text.strip():
            raise UserError(f"{what} {number} is empty ({text[:20]!r}): give at least a word")
    return listed


def align(**columns: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Rows of columns by name; a column of one goes with every row.

    Raises:
        UserError: if columns differ in length.
    """
    count = max(map(len, columns.values()))
    if any(len(column) not in (1, count) for column in columns.values()):
        given = ", ".join(f"{len(column)} {name}" for name, column in columns.items())
        raise UserError(f"got {given}: give as many of each, or one that goes with all")
    return list(zip(*(list(column) * (count if len(column) == 1 else 1) for column in columns.values()), strict=True))


def top_labels(scores: Tensor, names: Sequence[str] | None, count: int) -> list[dict[str, Any]]:
    """The highest of scores (C,) in descending order, each a dict of ``label``, ``score`` and, if known, ``name``.

    Raises:
        UserError: if ``count`` is below 1.
    """
    if count < 1:
        raise UserError(f"top_k must be at least 1, got {count}")
    values, labels = scores.topk(min(count, len(scores)))
    found = [{"label": label, "score": value} for label, value in zip(labels.tolist(), values.tolist(), strict=True)]
    return found if names is None else [{**each, "name": names[each["label"]]} for each in found]
