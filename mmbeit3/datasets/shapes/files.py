"""Writers of the dataset's files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmbeit3.images import encode_image

__all__ = ["link", "write_image", "write_json", "write_lines"]


def link(source: Path, target: Path) -> None:
    """Create a hard link, or a copy if the file system does not support links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_image(path: Path, image: np.ndarray, quality: int = 95) -> None:
    """Write an image (H, W) or (H, W, 3), BGR. ``quality`` (0 to 100) applies to JPEG."""
    path.write_bytes(encode_image(path, image, [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(content))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a UTF-8 file."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
