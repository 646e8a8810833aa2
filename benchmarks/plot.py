"""A plot of a benchmark: one bar per contender of each case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import OURS
from benchmarks.rows import Row
from mmbeit3.markdown import three_digits
from mmbeit3.visualization.plots import new_figure, save_figure

__all__ = ["draw_benchmark"]

_OUR_COLOUR, _PEER_COLOUR = "#2f7d5d", "#9a9a9a"
_QUANTITIES = (("median_ms", "ms, median and quartiles"), ("memory_mb", "peak memory in MB"))


def draw_benchmark(rows: Sequence[Row], title: str, path: Path) -> None:
    """Draw durations and peak memory as horizontal bars, one panel and scale per case, and write a PNG.

    Args:
        rows: table of a benchmark; contenders without a measurement are left out.
        title: title of the figure.
        path: the file.

    Raises:
        UserError: if matplotlib is not installed, or the file cannot be written.
    """
    quantities = [(name, label) for name, label in _QUANTITIES if any(getattr(row, name) is not None for row in rows)]
    cases: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if any(getattr(row, name) is not None for name, _ in quantities):
            cases.setdefault((row.case, row.dtype), []).append(row)
    heights = [len(members) + 1.2 for members in cases.values()] or [1.0]
    figure = new_figure(7.5 * max(len(quantities), 1) + 1, 0.28 * sum(heights) + 1)
    figure.suptitle(title)
    if cases:
        grid = figure.subplots(len(cases), len(quantities), squeeze=False, gridspec_kw={"height_ratios": heights})
        for line, ((case, dtype), members) in zip(grid, cases.items(), strict=True):
            for axes, (name, label) in zip(line, quantities, strict=True):
                _bars(axes, members, name)
                axes.set_title(f"{case}, {dtype}: {label}", fontsize=8, loc="left")
    save_figure(figure, path)


def _bars(axes: Any, rows: Sequence[Row], name: str) -> None:
    values = [getattr(row, name) or 0.0 for row in rows]
    colours = [_OUR_COLOUR if row.contender.startswith(OURS) else _PEER_COLOUR for row in rows]
    errors = None
    if name == "median_ms":
        errors = [
            [max((row.median_ms or 0) - (row.low_ms or 0), 0) for row in rows],
            [max((row.high_ms or 0) - (row.median_ms or 0), 0) for row in rows],
        ]
    bars = axes.barh(range(len(rows)), values, color=colours, xerr=errors, ecolor="#555", height=0.7)
    axes.bar_label(bars, [three_digits(value) if value else "not measured" for value in values], fontsize=7, padding=4)
    axes.set_yticks(range(len(rows)), [row.contender for row in rows], fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    longest = max(row.high_ms or 0.0 for row in rows) if errors else max(values)
    axes.set_xlim(0, longest * 1.2 or 1.0)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
