"""Record of predictions in a folder: the settings, and the results of each image as soon as it is done."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch

from mmbeit3.errors import UserError, list_first
from mmbeit3.files import naming_target, write_atomically
from mmbeit3.inference.predictor import Predictor
from mmbeit3.inference.results import Result

__all__ = ["RECORD", "Record", "describe_model", "make_row"]

RECORD = "record.jsonl"
"""Name of the file."""

_KEYS = {"image", "width", "height", "found"}
_CONFIG = ("default_scope", "model", "test_dataloader")
"""Settings of a config on which predictions depend."""


def describe_model(model: Predictor) -> dict[str, str]:
    """Return SHA-256 sums of the parts of the config on which predictions depend, and of the weights in memory."""
    config = json.dumps({key: model.cfg.get(key) for key in _CONFIG}, default=_name)
    weights = hashlib.sha256()
    for key, value in model.model.state_dict().items():
        weights.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        weights.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return {"config": hashlib.sha256(config.encode()).hexdigest(), "weights": weights.hexdigest()}


def make_row(result: Result) -> dict[str, Any]:
    """Return the line of the record for a result, without the names of its files."""
    height, width = result.size
    found = []
    for one in result.to_coco():
        label = one["category_id"] - 1
        found.append({**one, "class": result.classes[label]})
        found[-1].pop("image_id")
    row: dict[str, Any] = {"image": result.path, "width": width, "height": height, "found": found}
    return {**row, "file": _file_state(row["image"])} if result.frame is None else {**row, "frame": result.frame}


class Record:
    """The results of the images that are done, in a file that grows by one line per image.

    Args:
        path: the file.
        settings: values that must be the same to continue.
        outputs: the other files and folders that will be written. They may exist only if the record has the same settings.
        resumable: False to begin anew, with the same settings.

    Attributes:
        rows: results, by the name of the image, for a video with the number of the frame.

    Raises:
        UserError: if the folder has results of other settings, or files that are not of an earlier run.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], outputs: Iterable[Path] = (), resumable: bool = True) -> None:
        self.path = path
        self.settings = json.loads(json.dumps(dict(settings), default=str))
        self.rows: dict[str, dict[str, Any]] = {}
        self._file: Any = None
        found = _read_lines(path)
        earlier = found[0].get("settings") if found else None
        if earlier != self.settings:
            self._refuse_others(earlier, found[1:], outputs)
        elif resumable:
            self.rows = {row["image"]: row for row in found[1:] if row.keys() >= _KEYS}
        self._owners = {row[kind]: image for image, row in self.rows.items() for kind in ("picture", "labels") if kind in row}

    def __enter__(self) -> Record:
        lines = [{"settings": self.settings}, *self.rows.values()]
        # Without an incomplete last line.
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def has(self, image: str) -> bool:
        """Return True if an image is done and its file has not changed since."""
        return image in self.rows and self.rows[image].get("file") == _file_state(image)

    def add(self, row: dict[str, Any]) -> None:
        """Add the line of an image or a frame, and write it to the disk.

        Raises:
            UserError: if it cannot be written.
        """
        self.rows[row["image"] if "frame" not in row else f"{row['image']}#{row['frame']}"] = row
        with naming_target(self.path):
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def name_file(self, image: str, *wanted: Path) -> str:
        """Return the first of some names that no file of another image has; if there is none, the first one with a number."""
        first = wanted[0]
        numbered = (first.with_name(f"{first.stem}-{number}{first.suffix}") for number in count(2))
        names = (path.as_posix() for path in chain(wanted, numbered))
        return next(name for name in names if self._owners.setdefault(name, image) == image)

    def counts(self) -> dict[str, int]:
        """Return how many objects or regions of each class were found, most frequent first."""
        total: Counter[str] = Counter()
        for row in self.rows.values():
            total.update(one["class"] for one in row["found"])
        return dict(total.most_common())

    def _refuse_others(self, earlier: Any, rows: list[Any], outputs: Iterable[Path]) -> None:
        folder = self.path.parent
        if rows:
            earlier = earlier if isinstance(earlier, dict) else {}
            names = sorted(name for name in {*earlier, *self.settings} if earlier.get(name) != self.settings.get(name))
            raise UserError(
                f"'{folder}' has the results of another model or other settings (different: {list_first(names)}): give another "
                "folder by --out, or delete this one"
            )
        for path in outputs:
            if path.exists():
                raise UserError(
                    f"'{path}' exists and is not of an earlier run with these settings: give another folder by --out, or "
                    "remove it"
                )


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a record up to the first that is damaged; the last line of a killed run may be incomplete."""
    lines: list[dict[str, Any]] = []
    if not path.is_file():
        return lines
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            break
        if not isinstance(found, dict):
            break
        lines.append(found)
    return lines


def _file_state(path: str) -> list[int] | None:
    """Return the size and the time of the last change of a file; None if there is no such file, as for URLs."""
    try:
        found = os.stat(path)  # noqa: PTH116  (Path.stat would fold the slashes of URLs)
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns]


def _name(value: Any) -> str:
    """Return a name of a config's value that is the same in every process."""
    return getattr(value, "__qualname__", None) or str(value)
