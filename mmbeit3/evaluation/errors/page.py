"""What a detector or segmentor gets wrong: a page with tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config

from mmbeit3.evaluation.errors.detection_errors import break_down, image_scores, misnamed
from mmbeit3.evaluation.errors.detection_matches import Matches, match_detections
from mmbeit3.evaluation.errors.detection_tables import COLUMNS, class_table
from mmbeit3.evaluation.errors.predictions import Detections, Regions, detect, draw, find_metric, segment
from mmbeit3.evaluation.metrics.confusion import class_scores, most_confused
from mmbeit3.visualization import Section, write_report

__all__ = ["report_errors"]

_PAIRS = 20
_KINDS = {"bbox": "boxes", "segm": "masks"}
_MENDING = (
    "AP50 gained if that error alone were mended. Localisation: on an object of its class with an IoU from 0.1 to 0.5. "
    "Classification: on an object of another class with at least 0.5. Duplicate: on an object that a better detection has. "
    "Background: on nothing. Both: misplaced and misnamed. Missed: objects that no detection is about."
)


def report_errors(cfg: Config, checkpoint: str | Path, out: Path, images: int = 8, score: float = 0.5) -> Path:
    """Run a model over its test data, and write ``report.html``.

    Args:
        cfg: config of a detector with mmdet's ``CocoMetric``, or a segmentor with mmseg's ``IoUMetric``.
        checkpoint: what training with it wrote.
        out: folder to write to.
        images: how many of the worst, and of the best, to show.
        score: least score of detections that are drawn and that count for an image's F1.

    Returns:
        Path of the page.

    Raises:
        UserError: if config, checkpoint or data cannot be used.
    """
    title = f"Errors of {Path(str(cfg.filename)).stem}"
    if find_metric(cfg)["type"].endswith("CocoMetric"):
        sections = _detection(cfg, detect(cfg, checkpoint, out), images, score)
    else:
        sections = _segmentation(cfg, segment(cfg, checkpoint), images, score)
    path = out / "report.html"
    write_report(path, title, sections)
    return path


def _detection(cfg: Config, found: Detections, images: int, score: float) -> list[Section]:
    sections = []
    matches: dict[str, Matches] = {}
    for kind, results in found.results.items():
        matches[kind] = match_detections(found.truth, results, kind)
        lines = class_table(found.truth, results, kind)
        table = [["class", "objects", *COLUMNS], *([one.name, str(one.objects), *map(_percent, one.values)] for one in lines)]
        sections.append(Section(f"Average precision of {_KINDS[kind]}", _SIZES, table=table))
        broken = break_down(matches[kind])
        errors = [["error", "how many", "AP50 gained"]]
        errors += [[name, str(broken.counts[name]), _percent(gain)] for name, gain in broken.gains.items()]
        errors.append(["all false detections", "", _percent(broken.false_positives)])
        errors.append(["all that was not found", "", _percent(broken.false_negatives)])
        sections.append(Section(f"What goes wrong with {_KINDS[kind]}: AP50 {broken.ap50:.1f}", _MENDING, table=errors))
    boxes = next(iter(matches.values()))
    names = {number: category["name"] for number, category in found.truth.cats.items()}
    pairs = [[names[truth], names[called], str(count)] for (truth, called), count in misnamed(boxes).most_common(_PAIRS)]
    if pairs:
        sections.append(Section("What is taken for what", table=[["object", "called", "how often"], *pairs]))
    ranked = sorted(image_scores(boxes, list(found.truth.imgs), score).items(), key=lambda pair: pair[1])
    return sections + _galleries(cfg, found, ranked, images, score, "F1 {:.2f}")


_SIZES = "In percent. Small are objects below 32 x 32 pixels, large ones have 96 x 96 at least."


def _segmentation(cfg: Config, found: Regions, images: int, score: float) -> list[Section]:
    confusion = found.metric.confusion
    ious, accuracies = class_scores(confusion)
    share = 100 * confusion.sum(1) / max(confusion.sum(), 1)
    lines = zip(found.classes, ious, accuracies, share, strict=True)
    table = [["class", "IoU", "accuracy", "% of pixels"], *([name, *map(_percent, values)] for name, *values in lines)]
    pairs = [
        [found.classes[truth], found.classes[predicted], f"{percent:.1f}"]
        for truth, predicted, percent in most_confused(confusion, _PAIRS)
    ]
    ranked = sorted(((path, value) for path, value in found.metric.images if value is not None), key=lambda pair: pair[1])
    return [
        Section("Scores", "In percent.", {name: f"{value:.2f}" for name, value in found.scores.items()}),
        Section("Classes", "In percent.", table=table),
        Section("What is taken for what", table=[["class", "taken for", "% of the class's pixels"], *pairs]),
        *_galleries(cfg, found, ranked, images, score, "mIoU {:.1f}"),
    ]


def _galleries(
    cfg: Config, found: Detections | Regions, ranked: Sequence[tuple[int | str, float]], images: int, score: float, text: str
) -> list[Section]:
    """The worst images, and the best that are not among them."""
    worst = ranked[:images]
    best = ranked[max(len(ranked) - images, len(worst)) :][::-1]
    both = [*worst, *best]
    captions = [f"{Path(_name(found, one)).name}: {text.format(value)}" for one, value in both]
    rows = draw(found.model, cfg, [one for one, _ in both], captions, score)
    return [Section("Worst images", rows=rows[: len(worst)]), Section("Best images", rows=rows[len(worst) :])]


def _name(found: Detections | Regions, image: int | str) -> str:
    return str(found.truth.imgs[image]["file_name"] if isinstance(found, Detections) else image)


def _percent(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else f"{value:.1f}"
