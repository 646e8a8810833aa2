"""Pictures side by side, with a title above each column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmbeit3.visualization.canvas import paste
from mmbeit3.visualization.text import render_text, shorten, text_size

__all__ = ["with_titles"]

_WHITE = np.full(3, 255, np.uint8)


def with_titles(columns: Sequence[Sequence[np.ndarray]], titles: Sequence[str] = (), gap: int = 8) -> np.ndarray:
    """Return pictures in columns on white, with a title above each column.

    Args:
        columns: pictures from top to bottom for each column, uint8 (H, W, 3), RGB. Pictures may differ in size.
        titles: one title per column; none if empty.
        gap: distance between pictures in pixels.

    Returns:
        uint8 (H', W', 3), RGB.

    Raises:
        ValueError: if there are no pictures, or the numbers of titles and columns differ.
    """
    if titles and len(titles) != len(columns):
        raise ValueError(f"{len(titles)} titles for {len(columns)} columns: give one per column")
    if not any(len(column) for column in columns):
        raise ValueError("no pictures: give at least one column with a picture")
    widths = [max((picture.shape[1] for picture in column), default=0) for column in columns]
    rows = max(len(column) for column in columns)
    heights = [max(column[row].shape[0] for column in columns if row < len(column)) for row in range(rows)]
    size = max(12, round(max(widths) / 26))
    title = max((text_size(text, size)[1] + gap for text in titles), default=0)
    sheet = np.full((title + sum(heights) + gap * (rows + 1), sum(widths) + gap * (len(columns) + 1), 3), 255, np.uint8)
    left = gap
    for number, (column, width) in enumerate(zip(columns, widths, strict=True)):
        if titles:
            drawn = render_text(shorten(titles[number], size, width), size, _WHITE)
            paste(sheet, drawn, max(left + (width - drawn.shape[1]) // 2, 0), gap)
        top = title + gap
        for picture, height in zip(column, heights, strict=False):
            paste(sheet, picture, left + (width - picture.shape[1]) // 2, top)
            top += height + gap
        left += width + gap
    return sheet
