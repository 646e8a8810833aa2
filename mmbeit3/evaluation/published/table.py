"""Rows of the score table, printed in the terminal or written as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from mmbeit3.evaluation.published.record import EvaluationRecord
from mmbeit3.markdown import markdown_table

__all__ = ["print_records", "print_rows", "rows_to_markdown", "score_rows"]

_HEADER = ("model", "score", "measured", "published", "on", "difference", "s", "MB")


def score_rows(records: Sequence[EvaluationRecord]) -> list[list[str]]:
    """Return the header and one row per score; a model that failed gets a single row."""
    table = [list(_HEADER)]
    for record in records:
        rows = [
            [
                score.metric,
                _number(score.value),
                _number(score.published),
                score.published_on,
                _number(score.difference, "+.2f"),
            ]
            for score in ([] if record.error else record.table())
        ]
        if record.error:
            rows = [["failed", "", "", "", ""]]
        for index, row in enumerate(rows):
            # Only the first row of a model has its name and its cost.
            cost = ["", ""] if index else [_number(record.seconds, ".1f"), _number(record.memory_mb, ".0f")]
            table.append(["" if index else record.name, *row, *cost])
    return table


def rows_to_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table; all columns except the first are aligned right."""
    return markdown_table(rows, right=range(1, len(rows[0])))


def print_records(records: Sequence[EvaluationRecord], console: Console | None = None) -> None:
    """Print the table of scores, then one line per model that failed, with its error."""
    console = console or Console()
    print_rows(score_rows(records), console)
    for record in records:
        if record.error:
            console.print(f"{record.name}: {record.error}", highlight=False, markup=False, soft_wrap=True)


def print_rows(rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print rows as a table; the first row is the header."""
    header, *body = rows
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index else "left", overflow="fold")
    for row in body:
        table.add_row(*row)
    console.print(table, markup=False)


def _number(value: float | None, spec: str = ".2f") -> str:
    return "" if value is None else format(value, spec)
