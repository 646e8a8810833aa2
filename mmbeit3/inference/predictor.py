"""Predictions of detectors and segmentors for images, folders and videos."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from mmengine.model import BaseModel
from rich.console import Console
from rich.progress import track
from torch import Tensor

from mmbeit3.datasets.checks.pipelines import find_datasets
from mmbeit3.datasets.metainfo import read_class_colours
from mmbeit3.errors import UserError
from mmbeit3.images import ImageInput
from mmbeit3.inference.ahead import reading_threads, run_ahead, run_model_ahead
from mmbeit3.inference.areas import Regions, Segment, Segments
from mmbeit3.inference.found import FoundObjects, FoundSegments
from mmbeit3.inference.jobs import ImagePipeline, Job, in_batches
from mmbeit3.inference.logits import ClassLogits, label_dtype
from mmbeit3.inference.results import Objects, Result
from mmbeit3.inference.sources import Source, Sources, list_sources
from mmbeit3.inference.tiling import Tiling, Window, merge_objects

__all__ = ["OnError", "Predictor"]

OnError = Callable[[str, UserError], None]
"""Function that is called with the name and the error of an image that cannot be read."""


class Predictor:
    """A detector or segmentor with trained weights. :func:`~mmbeit3.inference.load_model` builds it.

    Only one thread may predict at a time.

    Args:
        model: the model, in evaluation mode.
        cfg: its config, with the test pipeline and the classes of the test dataset.

    Attributes:
        model: the model of mmdet or mmseg.
        cfg: its config.
        classes: names of its classes.
        colours: uint8 (C, 3), RGB, the colours of the classes in pictures.

    Raises:
        UserError: if the config has no test pipeline or no classes, or its images cannot be given to ``predict``.
    """

    def __init__(self, model: BaseModel, cfg: Config) -> None:
        self.model = model
        self.cfg = cfg
        dataset = next(find_datasets(cfg.test_dataloader.dataset))
        self.classes, self.colours = read_class_colours(dataset, cfg.get("default_scope"))
        if not self.classes:
            raise UserError("the config's test dataset has no class names: set metainfo=dict(classes=(...))")
        self._pipeline = ImagePipeline(dataset, cfg)
        # Only one of mmdet and mmseg needs to be installed.
        self._is_segmentor = cfg.get("default_scope") == "mmseg"
        self._run_batch: Callable[[Mapping[str, Any], float], Sequence[Any]]
        if self._is_segmentor:
            from mmbeit3.inference.regions import predict_logits

            self._run_batch = lambda batch, _: predict_logits(model, batch)
        else:
            from mmbeit3.inference.instances import CompactHeads

            self._run_batch = CompactHeads(model).predict

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    def predict(
        self,
        images: ImageInput | Sequence[ImageInput],
        batch_size: int = 1,
        tile: int | None = None,
        score: float = 0.5,
        overlap: int | None = None,
        show_progress: bool | None = None,
        on_error: OnError | None = None,
    ) -> Any:
        """Predict an image, several images, a folder or a video.

        Args:
            images: an image (path, URL, array (H, W, 3) in BGR order, or PIL image), a list of images, or the path of a folder
                or of a video.
            batch_size: number of images per forward pass. Images of different sizes are never in one batch, so the results do
                not depend on it.
            tile: side in pixels of the windows that large images are cut into; None predicts images whole. Detectors predict
                the whole image as well, for objects larger than a window.
            score: smallest score of objects, from 0 to 1. It does not apply to semantic and panoptic segmentation.
            overlap: pixels that neighbouring windows share; default: a quarter of ``tile``.
            show_progress: True for a progress bar; default: if there are several images and stderr is a terminal.
            on_error: function to call with the name and the error of an image that cannot be read, which is then left out.
                Default: an error is raised, but in a folder such files are logged as warnings and left out.

        Returns:
            For one image its :class:`~mmbeit3.inference.results.Result`: :class:`~mmbeit3.inference.results.Objects` of a
            detector, :class:`~mmbeit3.inference.areas.Regions` of a model for semantic segmentation,
            :class:`~mmbeit3.inference.areas.Segments` of a panoptic model. Else the list of the results, in the order of the
            images. These do not keep the images, except those that were given as pixels.

        Raises:
            UserError: if there is no image, an image or video cannot be read, or an argument is not valid.
        """
        sources = list_sources(images)
        shown = show_progress
        if shown is None:
            shown = not sources.single and Console(stderr=True).is_terminal
        stream = self._stream(sources, batch_size, tile, score, overlap, on_error)
        progress = track(stream, "predicting", total=sources.count, disable=not shown, console=Console(stderr=True))
        results = []
        for result in progress:
            if result.path is not None:
                result.pixels = None
            results.append(result)
        if not results:
            raise UserError("no image could be read: see the errors above")
        return results[0] if sources.single else results

    def stream(
        self,
        images: ImageInput | Sequence[ImageInput],
        batch_size: int = 1,
        tile: int | None = None,
        score: float = 0.5,
        overlap: int | None = None,
        on_error: OnError | None = None,
    ) -> Iterator[Result]:
        """Predict images and yield the results one after the other, with their images, so that memory does not grow.

        The arguments and errors are those of :meth:`predict`.

        Yields:
            The results, in the order of the images.
        """
        yield from self._stream(list_sources(images), batch_size, tile, score, overlap, on_error)

    def _stream(
        self,
        sources: Sources,
        batch_size: int,
        tile: int | None,
        score: float,
        overlap: int | None,
        on_error: OnError | None,
    ) -> Iterator[Result]:
        if type(batch_size) is not int or batch_size < 1:
            raise UserError(f"batch_size must be a whole number from 1, got {batch_size!r}")
        if not isinstance(score, Real) or not 0 <= score <= 1:
            raise UserError(f"score must be a number from 0 to 1, got {score!r}")
        if tile is None and overlap is not None:
            raise UserError("overlap is for tiles: give tile, the side of a window in pixels, too")
        tiling = None if tile is None else Tiling(tile, tile // 4 if overlap is None else overlap)
        if tiling is not None and hasattr(self.model, "panoptic_fusion_head"):
            raise UserError("panoptic segmentation does not support tiles: predict the image whole, without tile")
        if on_error is None and sources.optional:
            on_error = _warn
        yield from self._ordered(self._readable(sources, batch_size, tiling, on_error), batch_size, tiling, float(score))

    def _readable(self, sources: Sources, batch_size: int, tiling: Tiling | None, on_error: OnError | None) -> Iterator[Job]:
        """Read and transform images in threads, ahead of the model."""

        def load(source: Source) -> Job | UserError:
            try:
                pixels = self._pipeline.read(source.image)
            except UserError as error:
                return error
            cut = tiling is not None and max(pixels.shape[:2]) > tiling.size
            return Job(source, pixels, None if cut else self._pipeline(pixels, source.path))

        workers = reading_threads()
        number = 0
        for source, job in run_ahead(sources.items, lambda item: (item, load(item)), workers, 2 * batch_size + workers):
            if isinstance(job, Job):
                job.number = number
                number += 1
                yield job
            elif on_error is None:
                raise job
            else:
                on_error(str(source.path), job)

    def _ordered(self, jobs: Iterator[Job], batch_size: int, tiling: Tiling | None, score: float) -> Iterator[Result]:
        """Predict images, and yield the results in their order."""

        def run(batch: list[Job]) -> list[tuple[int, Result]]:
            if tiling is not None and batch[0].data is None:
                return [(job.number, self._result(job, self._predict_tiled(job, batch_size, tiling, score))) for job in batch]
            found = self._forward([job.data for job in batch if job.data is not None], score)
            return [(job.number, self._result(job, one)) for job, one in zip(batch, found, strict=True)]

        ready: dict[int, Result] = {}
        due = 0
        for results in run_model_ahead(in_batches(jobs, batch_size), run, self.device):
            ready.update(results)
            while due in ready:
                yield ready.pop(due)
                due += 1

    def _forward(self, data: Sequence[dict[str, Any]], score: float) -> list[Any]:
        """Predict a batch: found objects, segments, or logits."""
        batch = pseudo_collate(list(data))
        # Inference mode is per thread.
        with torch.inference_mode():
            return list(self._run_batch(batch, score))

    def _predict_tiled(self, job: Job, batch_size: int, tiling: Tiling, score: float) -> Any:
        """Predict an image in windows, and merge what they find."""
        height, width = job.pixels.shape[:2]
        windows = tiling.windows((height, width))
        if self._is_segmentor:
            return self._merge_logits(job.pixels, windows, batch_size)
        parts = list(self._windows(job.pixels, windows, batch_size, score))
        whole = self._forward([self._pipeline(job.pixels, job.source.path)], score)[0]
        return merge_objects([*parts, (Window(0, 0, width, height), whole)], (height, width))

    def _windows(
        self, pixels: np.ndarray, windows: Sequence[Window], batch_size: int, score: float
    ) -> Iterator[tuple[Window, Any]]:
        for first in range(0, len(windows), batch_size):
            chosen = windows[first : first + batch_size]
            crops = [np.ascontiguousarray(pixels[each.top : each.bottom, each.left : each.right]) for each in chosen]
            yield from zip(chosen, self._forward([self._pipeline(crop) for crop in crops], score), strict=True)

    def _merge_logits(self, pixels: np.ndarray, windows: Sequence[Window], batch_size: int) -> np.ndarray:
        """Average the logits of overlapping windows. Rows that no later window covers are decided, so memory stays small."""
        height, width = pixels.shape[:2]
        labels = np.zeros((height, width), label_dtype(len(self.classes)))
        total = counts = None
        done = 0
        last: ClassLogits | None = None
        for window, logits in self._windows(pixels, windows, batch_size, 0.0):
            if total is not None and window.top > done:
                # Rows above the new window are complete.
                rows = window.top - done
                labels[done : window.top] = logits.decide(total[:, :rows] / counts[:rows])  # type: ignore[index]
                total, counts = _scroll(total, rows), _scroll(counts[None], rows)[0]  # type: ignore[index]
                done = window.top
            if total is None:
                total = logits.values.new_zeros(len(logits.values), window.bottom - window.top, width)
                counts = logits.values.new_zeros(window.bottom - window.top, width)
            size = (window.bottom - window.top, window.right - window.left)
            total[:, :, window.left : window.right] += logits.resized(size)
            counts[:, window.left : window.right] += 1  # type: ignore[index]
            last = logits
        assert last is not None
        assert total is not None
        assert counts is not None
        labels[done:] = last.decide(total[:, : height - done] / counts[: height - done])
        return labels

    def _result(self, job: Job, found: Any) -> Result:
        height, width = job.pixels.shape[:2]
        common: dict[str, Any] = {
            "path": job.source.path,
            "frame": job.source.frame,
            "size": (height, width),
            "classes": self.classes,
            "colours": self.colours,
            "pixels": job.pixels,
            "upright": self._pipeline.upright,
        }
        if isinstance(found, FoundObjects):
            return Objects(boxes=found.boxes, scores=found.scores, labels=found.labels, masks=found.masks, **common)
        if isinstance(found, FoundSegments):
            scores = found.scores or (None,) * len(found.labels)
            rows = zip(range(1, len(found.labels) + 1), found.labels, found.things, scores, strict=True)
            return Segments(ids=found.ids, segments=tuple(Segment(*row) for row in rows), **common)
        if isinstance(found, ClassLogits):
            found = found.labels((height, width))
        return Regions(labels=found, **common)


def _scroll(values: Tensor, rows: int) -> Tensor:
    """Move the content of (C, H, W) up by a number of rows, and fill in zeros."""
    moved = torch.zeros_like(values)
    moved[:, : values.shape[1] - rows] = values[:, rows:]
    return moved


def _warn(name: str, error: UserError) -> None:
    print_log(f"skipped: {error}", "current", logging.WARNING)
