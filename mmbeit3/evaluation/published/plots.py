"""Plots of evaluations: measured scores beside published ones, and scores under corruptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmbeit3.evaluation.published.record import EvaluationRecord
from mmbeit3.visualization.plots import new_figure, save_figure

__all__ = ["draw_corruptions", "draw_records"]

_MEASURED, _PUBLISHED = "#2f7d5d", "#c1442e"


def draw_records(records: Sequence[EvaluationRecord], path: Path) -> None:
    """Draw measured scores as bars and published scores as marks, one panel and scale per metric, and write a PNG.

    Args:
        records: results of evaluations; those that failed are left out.
        path: the file.

    Raises:
        UserError: if matplotlib is not installed, or the file cannot be written.
    """
    metrics: dict[str, list[tuple[str, float, float | None]]] = {}
    for record in records:
        for score in [] if record.error else record.table():
            if score.value is not None:
                metrics.setdefault(score.metric, []).append((record.name, score.value, score.published))
    heights = [len(rows) + 1.6 for rows in metrics.values()]
    figure = new_figure(10, max(0.3 * sum(heights) + 0.6, 1.5))
    if metrics:
        panels = figure.subplots(len(metrics), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
        for axes, (metric, rows) in zip(panels, metrics.items(), strict=True):
            names, values, published = zip(*rows, strict=True)
            bars = axes.barh(range(len(rows)), values, color=_MEASURED, height=0.6)
            axes.bar_label(bars, [f"{value:.2f}" for value in values], fontsize=7, padding=4)
            marks = [(value, row) for row, value in enumerate(published) if value is not None]
            if marks:
                axes.plot(*zip(*marks, strict=True), "|", color=_PUBLISHED, markersize=14, markeredgewidth=2)
            axes.set_yticks(range(len(rows)), names, fontsize=7)
            axes.set_xlim(min(0, *values), 1.15 * max([*values, *(value for value, _ in marks), 1e-6]))
            axes.set_title(f"{metric} (mark: published)" if marks else metric, fontsize=8, loc="left")
            axes.tick_params(axis="x", labelsize=7)
            axes.invert_yaxis()
            axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def draw_corruptions(
    curves: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]], clean: Mapping[str, float], path: Path
) -> None:
    """Draw the score over the severity, one panel per corruption and one line per model, and write a PNG.

    Args:
        curves: corruption to model to pairs of severity (1 to 5) and score.
        clean: model to its score on clean images, which is drawn at severity 0.
        path: the file.

    Raises:
        UserError: if matplotlib is not installed, or the file cannot be written.
    """
    columns = min(5, max(1, len(curves)))
    rows = max(1, -(-len(curves) // columns))
    figure = new_figure(2.6 * columns + 0.5, 2.2 * rows + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, (corruption, models) in zip(panels, curves.items(), strict=False):
        for name, points in models.items():
            axes.plot(*zip((0, clean[name]), *points, strict=True), "o-", markersize=3, linewidth=1.2, label=name)
        axes.set_title(corruption.replace("_", " "), fontsize=8)
        axes.set_xticks(range(6))
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    if curves:
        panels[0].legend(fontsize=6)
    figure.supxlabel("severity", fontsize=8)
    save_figure(figure, path)
