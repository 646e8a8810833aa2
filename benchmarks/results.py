"""The report of a benchmark: a table in the terminal, a JSON file, and a table in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row
from mmbeit3.files import write_atomically
from mmbeit3.markdown import markdown_table, three_digits

__all__ = ["Report", "benchmark_markdown", "print_table"]

_FILE_ONLY = {"case", "dtype", "quartiles", "rounds", "held MB", "note"}
"""Columns that do not fit into a terminal. The title of the table gives case and dtype; the files contain all of them."""

_IF_WIDE = {"images/s", "outputs differ", "gradients differ"}
"""Columns that fit into wide terminals only."""

_WIDE = 120
"""Least number of characters per line of a wide terminal."""

_TEXT = {"case", "contender", "dtype", "note"}
"""Columns of text; the others are numbers and are aligned right."""


@dataclass
class Report:
    """Results of one run.

    Attributes:
        suite: name of the suite.
        command: the command line.
        settings: result of :meth:`benchmarks.settings.Settings.to_dict`.
        machine: labels to values, see :func:`mmbeit3.profiling.machine.describe_machine`.
        peaks: dtype to the measured peak speed of matrix products in GFLOP/s.
        rows: the table.
    """

    suite: str
    command: str
    settings: dict[str, Any]
    machine: dict[str, str]
    peaks: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write ``results.json`` and ``table.md`` into a folder, which is created if it is missing."""
        content = {**vars(self), "rows": [row.to_dict() for row in self.rows]}
        write_atomically(folder / "results.json", (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
        write_atomically(folder / "table.md", self.to_markdown().encode())

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read a ``results.json``."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**content, "rows": [Row(**row) for row in content["rows"]]})

    def to_markdown(self) -> str:
        """Return the command, the machine and the table, in the form of ``docs/performance.md``."""
        return "\n".join(
            [f"`{self.command}`", "", _conditions(self.machine, self.peaks, self.settings), "", benchmark_markdown(self.rows)]
        )


def benchmark_markdown(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table without empty columns; only the first row of a case has its name."""
    header, body = _cells(rows)
    if not any(row.note for row in rows):
        header, body = header[:-1], [line[:-1] for line in body]
    return markdown_table([header, *body], right=[index for index, name in enumerate(header) if name not in _TEXT])


def print_table(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print the rows of one case as a table, then the notes about contenders.

    Args:
        rows: rows of one case; empty columns are left out.
        console: console to print to; default the terminal.
    """
    console = console or Console()
    header, body = _cells(rows)
    table = Table(title=f"{rows[0].case}, {rows[0].dtype}", title_justify="left", title_style="bold")
    file_only = _FILE_ONLY | ({"cold s"} if "median ms" in header else set())
    if console.width < _WIDE:
        file_only |= _IF_WIDE
    shown = [index for index, name in enumerate(header) if name not in file_only]
    for index in shown:
        is_name = header[index] == "contender"
        table.add_column(header[index], justify="left" if is_name else "right", no_wrap=is_name)
    for line in body:
        table.add_row(*(line[index] for index in shown))
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"  {row.contender}: {row.note}", highlight=False, markup=False)


def _cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table as text, without empty columns."""
    columns = {
        "dtype": [row.dtype for row in rows],
        "median ms": [three_digits(row.median_ms) for row in rows],
        "quartiles": [
            "" if row.low_ms is None else f"{three_digits(row.low_ms)} to {three_digits(row.high_ms)}" for row in rows
        ],
        "rounds": [str(row.rounds or "") for row in rows],
        "ratio": ["" if row.ratio is None else f"{row.ratio:.2f}x" for row in rows],
        "GFLOP": [three_digits(row.gflop) for row in rows],
        "of peak": ["" if row.peak_fraction is None else f"{row.peak_fraction:.0%}" for row in rows],
        "images/s": [three_digits(row.images_per_s) for row in rows],
        "host ms": [three_digits(row.host_ms) for row in rows],
        "GPU ms": [three_digits(row.device_ms) for row in rows],
        "floor ms": ["" if row.median_ms is None else three_digits(row.floor_ms) for row in rows],
        "peak MB": [three_digits(row.memory_mb) for row in rows],
        "memory ratio": ["" if row.memory_ratio is None else f"{row.memory_ratio:.2f}x" for row in rows],
        "held MB": [three_digits(row.held_mb) for row in rows],
        "cold s": [three_digits(row.cold_s) for row in rows],
        "outputs differ": [_rounded(row.output_deviation) for row in rows],
        "gradients differ": [_rounded(row.gradient_deviation) for row in rows],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    body = []
    previous = None
    for index, row in enumerate(rows):
        case = (row.case, row.dtype)
        values = [cells[index] for cells in shown.values()]
        body.append([row.case if case != previous else "", row.contender, *values, row.note])
        previous = case
    return ["case", "contender", *shown, "note"], body


def _rounded(deviation: float | None) -> str:
    return "" if deviation is None else f"{deviation:.2g}"


def _conditions(machine: Mapping[str, str], peaks: Mapping[str, float], settings: Mapping[str, Any]) -> str:
    """Return one line about the machine and the settings of a run."""
    facts = [f"{label} {value}" for label, value in machine.items()]
    facts.append(f"threads {settings['threads']}")
    facts += [f"matrix peak in {name} {three_digits(peak)} GFLOP/s" for name, peak in peaks.items()]
    quick = "**This run only checks that everything works: the numbers mean nothing.** " if settings["quick"] else ""
    return f"{quick}{'; '.join(facts)}."
