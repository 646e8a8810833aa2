"""Predict many images into a folder: pictures, label images, COCO's JSON and CSV, with continuation after an interruption."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress

from mmbeit3.errors import UserError, printable
from mmbeit3.files import naming_target, write_atomically
from mmbeit3.images import find_images
from mmbeit3.inference.areas import Regions, Segments
from mmbeit3.inference.images import is_folder
from mmbeit3.inference.predictor import Predictor
from mmbeit3.inference.results import Result
from mmbeit3.inference.sources import is_video

__all__ = ["RECORD", "Summary", "predict_to_folder"]

RECORD = "record.jsonl"
"""File with the settings, and the results of each image as soon as it is done."""

_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
_CODEC = "mp4v"


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
    settings: Mapping[str, Any],
    batch_size: int = 1,
    pictures: bool = True,
    on_error: Any = None,
    **options: Any,
) -> Summary:
    """Predict images and write what was found.

    The folder gets ``pictures/`` (for a video a video with drawings), ``labels/`` with PNG files for semantic and panoptic
    segmentation, ``predictions.json`` in COCO's format (images, categories, annotations with scores), and
    ``predictions.csv`` with one line per object or region. A second call with the same settings continues an interrupted one.

    Args:
        model: the model.
        images: an image (path or URL), several, or the path of a folder or video.
        out: the folder to write to.
        settings: values that must be the same to continue, such as the names of config and checkpoint.
        batch_size: number of images per forward pass.
        pictures: False to write no pictures.
        on_error: function to call with the name and the error of an image that cannot be read.
        **options: ``tile``, ``overlap`` and ``score`` of :meth:`~mmbeit3.inference.predictor.Predictor.predict`.

    Raises:
        UserError: if there are no images, none can be read, ``out`` is inside of the image folder or has results of other
            settings, or a file cannot be written.
    """
    out = Path(out)
    root = Path(images) if is_folder(images) else None  # type: ignore[arg-type]
    if root is not None and out.resolve().is_relative_to(root.resolve()):
        raise UserError(f"output folder '{out}' is inside of the image folder '{root}': give another folder by --out")
    video = is_video(images)
    record = _Record(out / RECORD, {**settings, **options, "pictures": pictures}, resumable=not video)
    listed: Any = images
    if not video:
        listed = find_images(root) if root is not None else images if isinstance(images, list | tuple) else [images]
        listed = [path for path in listed if str(path) not in record.rows]
    summary = Summary(images=len(record.rows), earlier=len(record.rows))

    def failed(name: str, error: UserError) -> None:
        summary.unreadable[name] = str(error)
        if on_error is not None:
            on_error(name, error)

    with ExitStack() as stack:
        stack.enter_context(record)
        console = Console(stderr=True)
        progress = stack.enter_context(Progress(console=console, disable=not console.is_terminal or len(listed) == 1))
        task = progress.add_task("predicting", total=None if video else len(listed))
        drawn: Any = stack.enter_context(_Video(out / _video_name(images), images)) if video and pictures else None
        for result in model.stream(listed, batch_size=batch_size, on_error=failed, **options) if listed else ():
            row = _row(result, summary.images)
            if drawn is not None:
                drawn.write(result.draw())
            elif pictures:
                summary.files["pictures"] = out / "pictures"
                result.save(out / "pictures" / _picture_name(result, root))
            if isinstance(result, Regions | Segments) and not video:
                row["labels"] = record.label_name(_relative(result, root))
                result.save_labels(out / row["labels"])
                summary.files["label images"] = out / "labels"
            record.add(row)
            summary.images += 1
            progress.advance(task)
    if not summary.images:
        raise UserError("no image could be read: see the errors above")
    if drawn is not None:
        summary.files["video"] = drawn.path
    summary.files |= _write_tables(out, record.rows, model.classes)
    summary.counts = record.counts()
    return summary


class _Record:
    """The results of the images that are done, in a file that grows by one line per image."""

    def __init__(self, path: Path, settings: Mapping[str, Any], resumable: bool) -> None:
        self.path = path
        self.settings = json.loads(json.dumps(dict(settings), default=str))
        self.rows: dict[str, dict[str, Any]] = {}
        self._file: Any = None
        self._labels: set[str] = set()
        if resumable and path.is_file():
            self._read()

    def _read(self) -> None:
        lines = self.path.read_text(encoding="utf-8").splitlines()
        found: list[Any] = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                # The last line of a killed run may be incomplete.
                break
        if not found or found[0].get("settings") != self.settings:
            raise UserError(
                f"'{self.path.parent}' has the results of another model or other settings: give another folder by --out, or "
                "delete this one"
            )
        for row in found[1:]:
            self.rows[row["image"]] = row
            self._labels.add(row.get("labels", ""))

    def __enter__(self) -> _Record:
        lines = [{"settings": self.settings}, *self.rows.values()]
        # Without an incomplete last line.
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: dict[str, Any]) -> None:
        key = row["image"] if row.get("frame") is None else f"{row['image']}#{row['frame']}"
        self.rows[key] = row
        with naming_target(self.path):
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def label_name(self, image: Path) -> str:
        """Return a name for the labels of an image: with its stem, as training expects; with its whole name if taken."""
        name = Path("labels", image.with_suffix(".png")).as_posix()
        if name in self._labels:
            name = Path("labels", image.with_name(f"{image.name}.png")).as_posix()
        self._labels.add(name)
        return name

    def counts(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for row in self.rows.values():
            total.update(one["class"] for one in row["found"])
        return dict(total.most_common())


class _Video:
    """A video file with drawn frames, of the rate of the original."""

    def __init__(self, path: Path, source: Any) -> None:
        self.path = path
        capture = cv2.VideoCapture(os.fspath(source))
        self._rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        capture.release()
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def __enter__(self) -> _Video:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.release()

    def write(self, picture: np.ndarray) -> None:
        height, width = picture.shape[:2]
        if self._writer is None:
            with naming_target(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
            # Video codecs need even sizes.
            self._size = (width - width % 2, height - height % 2)
            code = cv2.VideoWriter.fourcc(*_CODEC)
            self._writer = cv2.VideoWriter(os.fspath(self.path), code, self._rate, self._size)
            if not self._writer.isOpened():
                raise UserError(f"video '{self.path}' cannot be written: OpenCV has no {_CODEC} encoder; use --no-pictures")
        if (height, width) < self._size[::-1] or picture.shape[0] != height:
            picture = cv2.resize(picture, self._size)
        self._writer.write(np.ascontiguousarray(picture[: self._size[1], : self._size[0], ::-1]))


def _row(result: Result, number: int) -> dict[str, Any]:
    """Return the line of the record for a result."""
    height, width = result.size
    found = []
    for one in result.to_coco():
        label = one["category_id"] - 1
        found.append({**one, "class": result.classes[label]})
        found[-1].pop("image_id")
    row: dict[str, Any] = {"image": result.path, "width": width, "height": height, "found": found}
    return row if result.frame is None else {**row, "frame": result.frame}


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
    files = {"COCO JSON": out / "predictions.json", "table": out / "predictions.csv"}
    write_atomically(files["COCO JSON"], json.dumps(content).encode())
    write_atomically(files["table"], table.getvalue().encode("utf-8", "replace"))
    return files


def _relative(result: Result, root: Path | None) -> Path:
    path = Path(str(result.path))
    return path.relative_to(root) if root is not None else Path(path.name)


def _picture_name(result: Result, root: Path | None) -> Path:
    path = _relative(result, root)
    return path if path.suffix.lower() in _PICTURE_SUFFIXES else path.with_name(f"{path.name}.png")


def _video_name(images: Any) -> str:
    return f"{Path(images).stem}.mp4"
