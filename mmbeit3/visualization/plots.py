"""Figures that matplotlib draws in memory, by its Agg backend and without a display.

The figures do not belong to ``pyplot``, so they need not be closed, and the backend of the process does not change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmbeit3.errors import UserError
from mmbeit3.files import naming_target

__all__ = ["figure_to_image", "new_figure", "save_figure"]


def new_figure(width: float, height: float, dpi: int = 110) -> Any:
    """Return an empty ``matplotlib.figure.Figure`` with constrained layout.

    Args:
        width: in inches.
        height: in inches.
        dpi: pixels per inch.

    Raises:
        UserError: if matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("plots need matplotlib: pip install matplotlib") from error
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure; the ending of the path, such as ``.png``, gives the format. The folder is created if it is missing.

    Raises:
        UserError: if the file cannot be written.
    """
    path = Path(path)
    with naming_target(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def figure_to_image(figure: Any) -> np.ndarray:
    """Return a figure as uint8 (H, W, 3), RGB."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
