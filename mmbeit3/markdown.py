"""Tables in Markdown, and numbers in tables. This module has no heavy imports, so that light commands can use it."""

from __future__ import annotations

from collections.abc import Container, Sequence

__all__ = ["markdown_table", "three_digits"]


def markdown_table(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> str:
    """Return rows as a Markdown table that ends with a newline.

    Args:
        rows: rows of cells, all of the same length; the first row is the header. A ``|`` in a cell becomes ``/``, because it
            would end the cell.
        right: indices of the columns to align right, such as those of numbers.

    Raises:
        ValueError: if there is no header, or a row has more or fewer cells than the header.
    """
    if not rows:
        raise ValueError("a Markdown table needs a header: give at least one row")
    columns = len(rows[0])
    for number, row in enumerate(rows):
        if len(row) != columns:
            raise ValueError(f"row {number} of a Markdown table has {len(row)} cells, but its header has {columns}")
    header, *body = (f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
    rule = "".join("|---:" if column in right else "|---" for column in range(columns)) + "|"
    return "\n".join([header, rule, *body]) + "\n"


def three_digits(value: float | None) -> str:
    """Return a number as text: an integer from 100 on, two decimals from 1 on, else three digits; an empty string for None."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"
