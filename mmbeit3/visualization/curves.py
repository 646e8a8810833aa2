"""Training curves from the values that MMEngine logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmbeit3.errors import UserError
from mmbeit3.visualization.plots import figure_to_image, new_figure

__all__ = ["draw_curve", "read_scalars"]


def read_scalars(work_dir: str | Path) -> list[dict[str, float]]:
    """Read the newest log of a work dir, one dict per line.

    Raises:
        UserError: if the work dir has no log.
    """
    logs = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    if not logs:
        raise UserError(f"no training log (scalars.json) in '{work_dir}'")
    return [json.loads(line) for line in logs[-1].read_text().splitlines() if line.strip()]


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
