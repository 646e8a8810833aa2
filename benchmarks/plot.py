"""A picture of a benchmark: bars of each case's contenders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import OURS
from benchmarks.rows import Row, short
from mmbeit3.errors import UserError
from mmbeit3.files import naming_target

__all__ = ["draw"]

_OURS, _THEIRS = "#2f7d5d", "#9a9a9a"
_QUANTITIES = (("median_ms", "ms, median and quartiles"), ("memory_mb", "peak memory in MB"))


def draw(rows: Sequence[Row], title: str, path: Path) -> None:
    """Draw durations and peak memory as horizontal bars, each case on a scale of its own, and write a PNG.

    Args:
        rows: a benchmark's table; contenders of which nothing was measured are left out.
        title: above the picture.
        path: the file.

    Raises:
        UserError: if matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("drawing a benchmark needs matplotlib: pip install matplotlib") from error
    quantities = [(name, label) for name, label in _QUANTITIES if any(getattr(row, name) is not None for row in rows)]
    cases: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if any(getattr(row, name) is not None for name, _ in quantities):
            cases.setdefault((row.case, row.dtype), []).append(row)
    heights = [len(members) + 1.2 for members in cases.values()] or [1.0]
    size = (7.5 * max(len(quantities), 1) + 1, 0.28 * sum(heights) + 1)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    if cases:
        grid = figure.subplots(len(cases), len(quantities), squeeze=False, gridspec_kw={"height_ratios": heights})
        for line, ((case, dtype), members) in zip(grid, cases.items(), strict=True):
            for axes, (name, label) in zip(line, quantities, strict=True):
                _bars(axes, members, name)
                axes.set_title(f"{case}, {dtype}: {label}", fontsize=8, loc="left")
    with naming_target(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def _bars(axes: Any, rows: Sequence[Row], name: str) -> None:
    values = [getattr(row, name) or 0.0 for row in rows]
    colours = [_OURS if row.who.startswith(OURS) else _THEIRS for row in rows]
    errors = None
    if name == "median_ms":
        errors = [
            [max((row.median_ms or 0) - (row.low_ms or 0), 0) for row in rows],
            [max((row.high_ms or 0) - (row.median_ms or 0), 0) for row in rows],
        ]
    bars = axes.barh(range(len(rows)), values, color=colours, xerr=errors, ecolor="#555", height=0.7)
    axes.bar_label(bars, [short(value) if value else "not measured" for value in values], fontsize=7, padding=4)
    axes.set_yticks(range(len(rows)), [row.who for row in rows], fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    longest = max(row.high_ms or 0.0 for row in rows) if errors else max(values)
    axes.set_xlim(0, longest * 1.2 or 1.0)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
