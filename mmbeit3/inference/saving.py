"""Predict many images into a folder: pictures, label images, COCO's JSON and CSV, with continuation after an interruption."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from mmbeit3.errors import UserError, printable
from mmbeit3.files import write_atomically
from mmbeit3.images import find_images
from mmbeit3.inference.areas import Regions, Segments
from mmbeit3.inference.images import is_folder
from mmbeit3.inference.predictor import Predictor
from mmbeit3.inference.record import RECORD, Record, describe_model, make_row
from mmbeit3.inference.results import Result
from mmbeit3.inference.sources import is_video
from mmbeit3.inference.videos import VideoFile

__all__ = ["Summary", "predict_to_folder"]

_PICTURES, _LABELS = Path("pictures"), Path("labels")
_JSON, _TABLE = "predictions.json", "predictions.csv"
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass
class Summary:
    """What :func:`predict_to_folder` did.

    Attributes:
        images: number of images or frames with results, those of earlier runs included.
        earlier: number of images with results of earlier runs.
        counts: number of objects or regions per class, most frequent first.
        unreadable: the error of each image that cannot be read, by its name.
        files: the files and folders that were written, by what they hold.
    """

    images: int = 0
    earlier: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def predict_to_folder(
    model: Predictor,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    batch_size: int = 1,
    pictures: bool = True,
    on_error: Any = None,
    **options: Any,
) -> Summary:
    """Predict images and write what was found.

    The folder gets ``pictures/`` (for a video a video with drawings), ``labels/`` with PNG files for semantic and panoptic
    segmentation, ``predictions.json`` in COCO's format (images, categories, annotations with scores), and
    ``predictions.csv`` with one line per object or region. A second call with the same config, weights and options continues an
    interrupted one, and predicts files again that have changed. A video starts again from its first frame.

    Args:
        model: the model.
        images: an image (path or URL), several, or the path of a folder or video.
        out: the folder to write to.
        batch_size: number of images per forward pass.
        pictures: False to write no pictures.
        on_error: function to call with the name and the error of an image that cannot be read.
        **options: ``tile``, ``overlap`` and ``score`` of :meth:`~mmbeit3.inference.predictor.Predictor.predict`.

    Raises:
        UserError: if there are no images, none can be read, ``out`` is inside of the image folder, has results of another
            model, other options or other images, or other files that would be overwritten, or a file cannot be written.
    """
    out = Path(out)
    root = Path(images) if is_folder(images) else None  # type: ignore[arg-type]
    if root is not None and out.resolve().is_relative_to(root.resolve()):
        raise UserError(f"output folder '{out}' is inside of the image folder '{root}': give another folder by --out")
    video = Path(images) if is_video(images) else None  # type: ignore[arg-type]
    drawn = VideoFile(out / f"{video.stem}.mp4", video) if video is not None and pictures else None
    source = root or video
    settings = {**describe_model(model), **options, "pictures": pictures, "images": source and source.resolve()}
    outputs = [out / name for name in (_PICTURES, _LABELS, _JSON, _TABLE)] + ([drawn.path] if drawn is not None else [])
    record = Record(out / RECORD, settings, outputs, resumable=video is None)
    listed: Any = images
    if video is None:
        paths = find_images(root) if root is not None else images if isinstance(images, list | tuple) else [images]
        listed = [path for path in dict.fromkeys(map(str, paths)) if not record.has(path)]
    summary = Summary()
    fresh = 0

    def failed(name: str, error: UserError) -> None:
        summary.unreadable[name] = str(error)
        if on_error is not None:
            on_error(name, error)

    with ExitStack() as stack:
        stack.enter_context(record)
        console = Console(stderr=True)
        progress = stack.enter_context(Progress(console=console, disable=not console.is_terminal or len(listed) == 1))
        task = progress.add_task("predicting", total=None if video is not None else len(listed))
        if drawn is not None:
            stack.enter_context(drawn)
        for result in model.stream(listed, batch_size=batch_size, on_error=failed, **options) if listed else ():
            row = make_row(result)
            if drawn is not None:
                drawn.write(result)
            elif pictures:
                row["picture"] = record.name_file(row["image"], *_picture_names(_relative(result, root)))
                result.save(out / row["picture"])
            if isinstance(result, Regions | Segments) and video is None:
                row["labels"] = record.name_file(row["image"], *_label_names(_relative(result, root)))
                result.save_labels(out / row["labels"])
            record.add(row)
            fresh += 1
            progress.advance(task)
    if not record.rows:
        raise UserError("no image could be read: see the errors above")
    summary.images, summary.earlier = len(record.rows), len(record.rows) - fresh
    if drawn is not None:
        summary.files["video"] = drawn.path
    for what, key, folder in (("pictures", "picture", _PICTURES), ("label images", "labels", _LABELS)):
        if any(key in row for row in record.rows.values()):
            summary.files[what] = out / folder
    summary.files |= _write_tables(out, record.rows, model.classes)
    summary.counts = record.counts()
    return summary


def _write_tables(out: Path, rows: Mapping[str, Mapping[str, Any]], classes: Sequence[str]) -> dict[str, Path]:
    """Write ``predictions.json`` and ``predictions.csv``, in the order of the images' names."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["image", "frame", "class", "score", "x1", "y1", "x2", "y2", "area"])
    for key in sorted(rows, key=lambda key: (rows[key]["image"], rows[key].get("frame", 0))):
        row = rows[key]
        image = {"id": len(images) + 1, "file_name": row["image"], "width": row["width"], "height": row["height"]}
        images.append(image if "frame" not in row else {**image, "frame": row["frame"]})
        for one in row["found"]:
            left, top, width, height = one["bbox"]
            area = one.get("area", width * height)
            annotation = {name: value for name, value in one.items() if name != "class"}
            annotation |= {"id": len(annotations) + 1, "image_id": len(images), "area": area, "iscrowd": 0}
            annotations.append(annotation)
            corners = [f"{value:.2f}" for value in (left, top, left + width, top + height)]
            score = f"{one['score']:.4f}" if "score" in one else ""
            name = printable(str(row["image"]), 4096)
            writer.writerow([name, row.get("frame", ""), one["class"], score, *corners, f"{area:.0f}"])
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
    content = {"images": images, "categories": categories, "annotations": annotations}
    files = {"COCO JSON": out / _JSON, "table": out / _TABLE}
    write_atomically(files["COCO JSON"], json.dumps(content).encode())
    write_atomically(files["table"], table.getvalue().encode("utf-8", "replace"))
    return files


def _relative(result: Result, root: Path | None) -> Path:
    path = Path(str(result.path))
    return path.relative_to(root) if root is not None else Path(path.name)


def _picture_names(image: Path) -> tuple[Path, ...]:
    """Return the names of an image's picture, best first."""
    name = image if image.suffix.lower() in _PICTURE_SUFFIXES else image.with_name(f"{image.name}.png")
    return (_PICTURES / name,)


def _label_names(image: Path) -> tuple[Path, ...]:
    """Return the names of an image's labels, best first: with its stem, as training expects, and with its whole name."""
    return _LABELS / image.with_suffix(".png"), _LABELS / image.with_name(f"{image.name}.png")
