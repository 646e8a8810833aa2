"""What evaluations found, for reading: a table in the terminal and one in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from mmbeit3.evaluation.published.record import Record

__all__ = ["markdown", "print_lines", "print_records", "record_lines"]

_HEADER = ("model", "score", "measured", "published", "on", "difference", "s", "MB")


def record_lines(records: Sequence[Record]) -> list[list[str]]:
    """Header and lines of a table: a line for each score of a model, or for its error."""
    lines = [list(_HEADER)]
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
        for place, row in enumerate(rows):
            cost = ["", ""] if place else [_number(record.seconds, ".1f"), _number(record.memory_mb, ".0f")]
            lines.append(["" if place else record.name, *row, *cost])
    return lines


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first are numbers' or short words'."""
    header, *body = lines
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in (header, rule, *body)) + "\n"


def print_records(records: Sequence[Record], console: Console | None = None) -> None:
    """Print the table, and below it why models failed."""
    console = console or Console()
    print_lines(record_lines(records), console)
    for record in records:
        if record.error:
            console.print(f"{record.name}: {record.error}", highlight=False, markup=False, soft_wrap=True)


def print_lines(lines: Sequence[Sequence[str]], console: Console) -> None:
    """Print a table whose first line is its header."""
    header, *body = lines
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for place, name in enumerate(header):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for line in body:
        table.add_row(*line)
    console.print(table, markup=False)


def _number(value: float | None, spec: str = ".2f") -> str:
    return "" if value is None else format(value, spec)
