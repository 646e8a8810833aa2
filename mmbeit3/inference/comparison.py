"""Draw ground truth and predictions of a detector or segmentor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, init_default_scope

from mmbeit3.errors import UserError
from mmbeit3.inference.areas import Regions, Segment, Segments
from mmbeit3.inference.predictor import Predictor
from mmbeit3.inference.results import Objects, Result
from mmbeit3.runner.loading import use_checked_loading
from mmbeit3.visualization.canvas import new_canvas
from mmbeit3.visualization.drawing import draw_objects, draw_regions, draw_segments

__all__ = ["build_test_dataset", "compare_with_truth"]


def compare_with_truth(
    model: BaseModel,
    cfg: Config,
    images: int | Sequence[int],
    score: float = 0.5,
    *,
    legend: bool = True,
    min_side: int = 300,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Predict on images of a config's test dataset, and draw ground truth and prediction in the same colours.

    Args:
        model: the model, in evaluation mode.
        cfg: config of the model.
        images: indices of the images, or the number of the first images, at most as many as there are.
        score: smallest score of the objects to draw.
        legend: False for pictures without legends.
        min_side: if the longer side of an image has fewer pixels, the picture is enlarged by a whole factor. Pictures of the
            default size fit side by side into a page, so that their labels are not scaled down much.

    Yields:
        The image, the ground truth and the prediction: uint8 (H', W', 3) each, RGB. A legend makes a picture higher.

    Raises:
        UserError: if an index is not that of an image, or the data cannot be used.
    """
    dataset = build_test_dataset(cfg)
    if isinstance(images, int):
        images = range(min(images, len(dataset)))
    for index in images:
        if not 0 <= index < len(dataset):
            raise UserError(f"the test data have no image {index}: give indices from 0 to {len(dataset) - 1}")
    predictor = Predictor(model, cfg)
    options: dict[str, Any] = {"classes": predictor.classes, "colours": predictor.colours, "min_side": min_side}
    for index in images:
        sample = dataset[index]["data_samples"]
        found = predictor.predict(sample.img_path, score=score)
        image = found.image()
        yield (
            new_canvas(image, min_side)[0],
            _draw_truth(image, sample, found, legend, options),
            _draw(image, found, legend, options),
        )


def build_test_dataset(cfg: Config) -> Any:
    """Build the test dataset of a config, with loading transforms that check what they read."""
    init_default_scope(cfg.default_scope)
    return DATASETS.build(use_checked_loading(cfg.test_dataloader, cfg)["dataset"])


def _draw(image: np.ndarray, found: Result, legend: bool, options: dict[str, Any]) -> np.ndarray:
    if isinstance(found, Objects):
        # None: a legend is drawn if labels are left out.
        shown = None if legend else False
        return draw_objects(image, found.boxes, found.labels, found.scores, found.masks, legend=shown, **options)
    if isinstance(found, Segments):
        return draw_segments(image, found.ids, found.segments, legend=legend, **options)
    assert isinstance(found, Regions)
    return draw_regions(image, found.labels, legend=legend, **options)


def _draw_truth(image: np.ndarray, sample: Any, found: Result, legend: bool, options: dict[str, Any]) -> np.ndarray:
    """Draw the ground truth of a data sample in the form of the prediction."""
    if isinstance(found, Regions):
        return draw_regions(image, sample.gt_sem_seg.data[0].numpy(), legend=legend, **options)
    from mmbeit3.inference.instances import convert_instances

    truth = convert_instances(sample.gt_instances, 0)
    if isinstance(found, Segments):
        ids = np.zeros(image.shape[:2], np.int32)
        segments: list[Segment] = []
        # mmdet's label map has the regions, and the objects as one region per class; their masks are drawn over it.
        labels = sample.gt_sem_seg.sem_seg[0].numpy()
        things = set(truth.labels.tolist())
        for label in set(np.unique(labels).tolist()) - things:
            if label < len(options["classes"]):
                segments.append(Segment(len(segments) + 1, label, False))
                ids[labels == label] = len(segments)
        for label, mask in zip(truth.labels.tolist(), truth.masks or (), strict=True):
            segments.append(Segment(len(segments) + 1, label, True))
            height, width = mask.pixels.shape
            ids[mask.top : mask.top + height, mask.left : mask.left + width][mask.pixels] = len(segments)
        return draw_segments(image, ids, segments, legend=legend, **options)
    return draw_objects(image, truth.boxes, truth.labels, None, truth.masks, legend=None if legend else False, **options)
