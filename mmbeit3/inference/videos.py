"""Writer of videos with drawn results."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from mmbeit3.errors import UserError
from mmbeit3.files import naming_target, refuse_overwriting
from mmbeit3.inference.results import Result
from mmbeit3.visualization.canvas import paste

__all__ = ["VideoFile"]

_CODEC = "mp4v"
_LEGEND_LINES = 3
"""Number of lines of the legend at most: further classes of a frame, the rarest ones, are left out."""


class VideoFile:
    """A video with drawn frames, of the rate of the original. It gets its name when it is complete.

    All frames have the size of the first: the legend has a fixed number of lines.

    Args:
        path: the file to write.
        source: the original video.

    Raises:
        UserError: if both are the same file.
    """

    def __init__(self, path: Path, source: str | Path) -> None:
        refuse_overwriting(path, source)
        self.path = path
        capture = cv2.VideoCapture(os.fspath(source))
        self._rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        capture.release()
        # OpenCV chooses the format by the suffix.
        self._temporary = path.with_name(f".{path.stem}.unfinished{path.suffix}")
        self._writer: cv2.VideoWriter | None = None
        self._canvas = np.zeros((0, 0, 3), np.uint8)

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if kind is None:
            with naming_target(self.path):
                self._temporary.replace(self.path)
        else:
            self._temporary.unlink(missing_ok=True)

    def write(self, result: Result) -> None:
        """Draw the result of a frame and append it.

        Raises:
            UserError: if the video cannot be written.
        """
        picture = result.draw(legend_lines=_LEGEND_LINES)
        if self._writer is None:
            self._open(picture)
        self._canvas[:] = 255
        paste(self._canvas, picture, 0, 0)
        assert self._writer is not None
        self._writer.write(np.ascontiguousarray(self._canvas[..., ::-1]))

    def _open(self, picture: np.ndarray) -> None:
        with naming_target(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        height, width = picture.shape[:2]
        # Video codecs need even sizes.
        self._canvas = np.zeros((height - height % 2, width - width % 2, 3), np.uint8)
        code = cv2.VideoWriter.fourcc(*_CODEC)
        writer = cv2.VideoWriter(os.fspath(self._temporary), code, self._rate, self._canvas.shape[1::-1])
        if not writer.isOpened():
            raise UserError(f"video '{self.path}' cannot be written: OpenCV has no {_CODEC} encoder; use --no-pictures")
        self._writer = writer
