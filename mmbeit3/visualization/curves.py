"""Training curves from what MMEngine logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from mmbeit3.errors import UserError

matplotlib.use("Agg")
from matplotlib import pyplot as plt

__all__ = ["draw_curve", "read_scalars"]


def read_scalars(work_dir: str | Path) -> list[dict[str, float]]:
    """Read the newest log of a work dir, one dict a line.

    Raises:
        UserError: if there is none.
    """
    logs = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    if not logs:
        raise UserError(f"no training log (scalars.json) in '{work_dir}'")
    return [json.loads(line) for line in logs[-1].read_text().splitlines() if line.strip()]


def draw_curve(scalars: Sequence[dict[str, float]], name: str = "loss") -> np.ndarray:
    """Plot a logged value over the iterations.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    points = [(line["step"], line[name]) for line in scalars if name in line and "step" in line]
    figure, axes = plt.subplots(figsize=(9, 3), dpi=130, layout="constrained")
    axes.plot(*zip(*points, strict=True), linewidth=1.5)
    axes.set(xlabel="iteration", ylabel=name)
    axes.grid(alpha=0.3)
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    plt.close(figure)
    return image
