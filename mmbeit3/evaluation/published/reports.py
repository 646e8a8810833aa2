"""Tables and plots of finished evaluations: printed, and written as ``table.md`` and ``plot.png``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmbeit3.evaluation.published.plots import draw_corruptions, draw_records
from mmbeit3.evaluation.published.record import EvaluationRecord
from mmbeit3.evaluation.published.robustness import corruption_rows, summarize, summary_rows
from mmbeit3.evaluation.published.table import print_records, print_rows, rows_to_markdown, score_rows
from mmbeit3.files import write_atomically

__all__ = ["report_robustness", "report_scores"]


def report_scores(records: Sequence[EvaluationRecord], folder: Path, console: Console) -> None:
    """Report measured scores beside the published ones.

    Args:
        records: results of all evaluations.
        folder: folder for ``table.md`` and ``plot.png``.
        console: prints the table.

    Raises:
        UserError: if matplotlib is not installed, or a file cannot be written.
    """
    print_records(records, console)
    write_atomically(folder / "table.md", rows_to_markdown(score_rows(records)).encode())
    draw_records(records, folder / "plot.png")


def report_robustness(records: Sequence[EvaluationRecord], folder: Path, console: Console) -> None:
    """Report scores under corruption: a summary of each model, then each corruption.

    Args:
        records: results of all evaluations, on clean and on corrupted images.
        folder: folder for ``table.md`` and ``plot.png``.
        console: prints the tables.

    Raises:
        UserError: if matplotlib is not installed, or a file cannot be written.
    """
    models = summarize(records)
    summary, details = summary_rows(models), corruption_rows(models)
    print_rows(summary, console)
    print_rows(details, console)
    write_atomically(folder / "table.md", f"{rows_to_markdown(summary)}\n{rows_to_markdown(details)}".encode())
    corruptions = dict.fromkeys(record.corruption for record in records if record.corruption is not None)
    curves = {
        corruption: {model.name: sorted(model.scores[corruption].items()) for model in models if corruption in model.scores}
        for corruption in corruptions
    }
    draw_corruptions(curves, {model.name: model.clean for model in models}, folder / "plot.png")
