"""What a benchmark found, for reading: a table in the terminal, JSON, and a table in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row, short
from mmbeit3.files import write_atomically

__all__ = ["Report", "markdown_table", "print_table"]

_LEFT_OUT = {"case", "dtype", "quartiles", "rounds", "held MB", "note"}
"""What the terminal has no room for: the title says the first two, the files have the others."""


@dataclass
class Report:
    """Everything that one run found.

    Attributes:
        suite: name of the benchmark.
        command: the command line.
        settings: as :meth:`benchmarks.settings.Settings.to_dict` gives them.
        machine: labels to values, see :func:`mmbeit3.profiling.machine.describe`.
        peaks: the measured matrix peak of each type in GFLOP/s.
        rows: the table.
    """

    suite: str
    command: str
    settings: dict[str, Any]
    machine: dict[str, str]
    peaks: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write ``results.json`` and ``table.md`` into a folder, which is made if need be."""
        content = {**vars(self), "rows": [row.to_dict() for row in self.rows]}
        write_atomically(folder / "results.json", (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
        write_atomically(folder / "table.md", self.to_markdown().encode())

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read a ``results.json``."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**content, "rows": [Row(**row) for row in content["rows"]]})

    def to_markdown(self) -> str:
        """Return the command, the machine and the table, as ``docs/performance.md`` shows them."""
        lines = [f"`{self.command}`", "", _sentence(self.machine, self.peaks, self.settings), "", markdown_table(self.rows)]
        return "\n".join(lines) + "\n"


def markdown_table(rows: Sequence[Row]) -> str:
    """Return rows as a table in Markdown; columns in which nothing was measured are left out, and a case is named once."""
    header, body = _cells(rows)
    if not any(row.note for row in rows):
        header, body = header[:-1], [line[:-1] for line in body]
    rule = ["---" if name in ("case", "who", "dtype", "note") else "---:" for name in header]
    lines = [header, rule, *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def print_table(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print the rows of one case as a table; what there is to say about contenders stands below it.

    Args:
        rows: what to show; columns in which nothing was measured are left out.
        console: where to; default the terminal.
    """
    console = console or Console()
    header, body = _cells(rows)
    table = Table(title=f"{rows[0].case}, {rows[0].dtype}", title_justify="left", title_style="bold")
    left_out = _LEFT_OUT | ({"cold s"} if "median ms" in header else set())
    shown = [index for index, name in enumerate(header) if name not in left_out]
    for index in shown:
        is_name = header[index] == "who"
        table.add_column(header[index], justify="left" if is_name else "right", no_wrap=is_name)
    for line in body:
        table.add_row(*(line[index] for index in shown))
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"  {row.who}: {row.note}", highlight=False, markup=False)


def _cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and lines of the table as text."""
    columns = {
        "dtype": [row.dtype for row in rows],
        "median ms": [short(row.median_ms) for row in rows],
        "quartiles": ["" if row.low_ms is None else f"{short(row.low_ms)} to {short(row.high_ms)}" for row in rows],
        "rounds": [str(row.rounds or "") for row in rows],
        "ratio": ["" if row.ratio is None else f"{row.ratio:.2f}x" for row in rows],
        "GFLOP": [short(row.gflop) for row in rows],
        "of peak": ["" if row.peak_fraction is None else f"{row.peak_fraction:.0%}" for row in rows],
        "floor ms": ["" if row.median_ms is None else short(row.floor_ms) for row in rows],
        "peak MB": [short(row.memory_mb) for row in rows],
        "memory ratio": ["" if row.memory_ratio is None else f"{row.memory_ratio:.2f}x" for row in rows],
        "held MB": [short(row.held_mb) for row in rows],
        "cold s": [short(row.cold_s) for row in rows],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    body = []
    previous = None
    for index, row in enumerate(rows):
        case = (row.case, row.dtype)
        body.append([row.case if case != previous else "", row.who, *(cells[index] for cells in shown.values()), row.note])
        previous = case
    return ["case", "who", *shown, "note"], body


def _sentence(machine: Mapping[str, str], peaks: Mapping[str, float], settings: Mapping[str, Any]) -> str:
    facts = [f"{label} {value}" for label, value in machine.items()]
    facts.append(f"threads {settings['threads']}")
    facts += [f"matrix peak in {name} {short(peak)} GFLOP/s" for name, peak in peaks.items()]
    quick = "**A check that everything runs: the numbers mean nothing.** " if settings["quick"] else ""
    return f"{quick}{'; '.join(facts)}."
