"""Training curves from the values that MMEngine logs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np

from mmbeit3.errors import UserError
from mmbeit3.visualization.plots import figure_to_image, new_figure

__all__ = ["draw_curve", "read_scalars"]


def read_scalars(work_dir: str | Path) -> list[dict[str, float]]:
    """Read the log of a work dir, one dict per line.

    A resumed training has one log per call. Lines of earlier calls that the newer ones repeat are left out.

    Raises:
        UserError: if the work dir has no log.
    """
    logs = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    if not logs:
        raise UserError(f"no training log (scalars.json) in '{work_dir}'")
    newest: list[dict[str, float]] = []
    for log in reversed(logs):
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
        start = next((line["step"] for line in newest if "loss" in line), math.inf)
        newest = [*_lines_before(start, lines), *newest]
    return newest


def _lines_before(step: float, lines: list[dict[str, float]]) -> Iterator[dict[str, float]]:
    """Yield the lines before the first training line at or after ``step``. Lines of scores may count epochs instead."""
    return takewhile(lambda line: "loss" not in line or line["step"] < step, lines)


def draw_curve(scalars: Sequence[dict[str, float]], name: str = "loss") -> np.ndarray:
    """Plot a logged value over the iterations.

    Args:
        scalars: lines of a log, see :func:`read_scalars`; lines without ``step`` or without the value are skipped.
        name: key of the value.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        UserError: if matplotlib is not installed.
    """
    points = [(line["step"], line[name]) for line in scalars if name in line and "step" in line]
    figure = new_figure(9, 3, dpi=130)
    axes = figure.subplots()
    axes.plot(*zip(*points, strict=True), linewidth=1.5)
    axes.set(xlabel="iteration", ylabel=name)
    axes.grid(alpha=0.3)
    return figure_to_image(figure)
