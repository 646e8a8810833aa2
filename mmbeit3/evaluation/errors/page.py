"""An HTML page that analyses the errors of a detector or segmentor, with tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config

from mmbeit3.datasets.checks.pipelines import find_datasets
from mmbeit3.errors import UserError
from mmbeit3.evaluation.errors.detection_ap import COLUMNS, class_table
from mmbeit3.evaluation.errors.detection_errors import break_down, count_misclassified, image_scores
from mmbeit3.evaluation.errors.detection_matches import Matches, match_detections
from mmbeit3.evaluation.errors.predictions import (
    Detections,
    Regions,
    detect,
    draw_examples,
    find_metric,
    index_images,
    segment,
)
from mmbeit3.evaluation.metrics.confusion import class_scores, most_confused
from mmbeit3.files import check_writable
from mmbeit3.inference.jobs import check_image_loading
from mmbeit3.visualization import Section, write_report

__all__ = ["report_errors"]

_PAIRS = 20
"""Largest number of confused pairs of classes in a table."""

_KINDS = {"bbox": "boxes", "segm": "masks"}
_ERRORS_NOTE = (
    "AP50 gained if only this kind of error is fixed. Localisation: IoU from 0.1 to 0.5 with an object of the predicted class. "
    "Classification: IoU of at least 0.5 with an object of another class. Duplicate: a better detection has found the object. "
    "Background: IoU below 0.1 with all objects. Both: wrong place and wrong class. Missed: objects without a detection."
)
_SIZES_NOTE = "In percent. Small objects have fewer than 32 x 32 pixels, large objects at least 96 x 96."


def report_errors(cfg: Config, checkpoint: str | Path, out: Path, images: int = 8, score: float = 0.5) -> Path:
    """Run a model over its test data and write ``report.html``.

    Args:
        cfg: config of a detector with mmdet's ``CocoMetric``, or of a segmentor with mmseg's ``IoUMetric``.
        checkpoint: checkpoint that training with this config wrote.
        out: output folder.
        images: number of the worst and of the best images to show; 0 for none.
        score: lowest score of detections that are drawn and that count for the F1 score of an image.

    Returns:
        Path of the page.

    Raises:
        UserError: if config, checkpoint or data cannot be used, an argument is not valid, or the page cannot be written.
    """
    if images < 0:
        raise UserError(f"images must be a number from 0, got {images}")
    if not 0 <= score <= 1:
        raise UserError(f"score must be a number from 0 to 1, got {score}")
    if images:
        check_image_loading(next(find_datasets(cfg.test_dataloader.dataset)))
    path = out / "report.html"
    check_writable(path)
    title = f"Errors of {Path(str(cfg.filename)).stem}"
    if find_metric(cfg)["type"].endswith("CocoMetric"):
        sections = _detection(cfg, detect(cfg, checkpoint, out), images, score)
    else:
        sections = _segmentation(cfg, segment(cfg, checkpoint), images, score)
    write_report(path, title, sections)
    return path


def _detection(cfg: Config, found: Detections, images: int, score: float) -> list[Section]:
    sections = []
    matches: dict[str, Matches] = {}
    for kind, results in found.results.items():
        matches[kind] = match_detections(found.truth, results, kind)
        table = [["class", "objects", *COLUMNS]]
        table += [[row.name, str(row.objects), *map(_percent, row.values)] for row in class_table(found.truth, results, kind)]
        sections.append(Section(f"Average precision of {_KINDS[kind]}", _SIZES_NOTE, table=table))
        breakdown = break_down(matches[kind])
        errors = [["error", "count", "AP50 gained"]]
        errors += [[name, str(breakdown.counts[name]), _percent(gain)] for name, gain in breakdown.gains.items()]
        errors.append(["all false detections", "", _percent(breakdown.false_positives)])
        errors.append(["all objects not found", "", _percent(breakdown.false_negatives)])
        sections.append(Section(f"Errors of {_KINDS[kind]}: AP50 {breakdown.ap50:.1f}", _ERRORS_NOTE, table=errors))
    boxes = next(iter(matches.values()))
    names = {number: category["name"] for number, category in found.truth.cats.items()}
    confused = count_misclassified(boxes).most_common(_PAIRS)
    pairs = [[names[truth], names[predicted], str(count)] for (truth, predicted), count in confused]
    if pairs:
        sections.append(Section("Confused classes", table=[["class", "predicted as", "count"], *pairs]))
    # The test dataset may be a part of the file.
    indices = index_images(cfg)
    f1 = image_scores(boxes, list(indices), score)
    ranked = sorted(((image, 100 * value) for image, value in f1.items()), key=lambda pair: pair[1])
    return sections + _galleries(cfg, found, ranked, indices, images, score, "F1 {:.1f}")


def _segmentation(cfg: Config, found: Regions, images: int, score: float) -> list[Section]:
    confusion = found.metric.confusion
    ious, accuracies = class_scores(confusion)
    share = 100 * confusion.sum(1) / max(confusion.sum(), 1)
    columns = zip(found.classes, ious, accuracies, share, strict=True)
    table = [["class", "IoU", "accuracy", "% of pixels"], *([name, *map(_percent, values)] for name, *values in columns)]
    pairs = [
        [found.classes[truth], found.classes[predicted], f"{percent:.1f}"]
        for truth, predicted, percent in most_confused(confusion, _PAIRS)
    ]
    ranked = sorted(((path, value) for path, value in found.metric.images if value is not None), key=lambda pair: pair[1])
    return [
        Section("Scores", "In percent.", {name: f"{value:.1f}" for name, value in found.scores.items()}),
        Section("Classes", "In percent.", table=table),
        Section("Confused classes", table=[["class", "predicted as", "% of the pixels of the class"], *pairs]),
        *_galleries(cfg, found, ranked, index_images(cfg), images, score, "mIoU {:.1f}"),
    ]


def _galleries(
    cfg: Config,
    found: Detections | Regions,
    ranked: Sequence[tuple[int | str, float]],
    indices: Mapping[int | str, int],
    images: int,
    score: float,
    text: str,
) -> list[Section]:
    """Return sections with the worst images, and with the best images that are not among the worst; none for 0 images."""
    if not images:
        return []
    worst = ranked[:images]
    best = ranked[max(len(ranked) - images, len(worst)) :][::-1]
    both = [*worst, *best]
    captions = [f"{Path(_file_name(found, image)).name}: {text.format(value)}" for image, value in both]
    rows = draw_examples(found.model, cfg, [indices[image] for image, _ in both], captions, score)
    return [Section("Worst images", rows=rows[: len(worst)]), Section("Best images", rows=rows[len(worst) :])]


def _file_name(found: Detections | Regions, image: int | str) -> str:
    return str(found.truth.imgs[image]["file_name"] if isinstance(found, Detections) else image)


def _percent(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else f"{value:.1f}"
