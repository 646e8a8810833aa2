"""The index as tables: for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from urllib.parse import urlsplit

from rich import box
from rich.table import Table

from mmbeit3.markdown import markdown_table
from mmbeit3.zoo.index import Entry, read_index

__all__ = ["markdown", "plain"]

_HEAD = ("name", "pixels", "parameters", "published scores", "config", "from")


def plain(cached: set[str]) -> Table:
    """All that can be downloaded, for rich's console.

    Args:
        cached: names of what is there already.
    """
    table = Table("name", "task", "pixels", "published scores", "from", "here", box=box.SIMPLE)
    table.columns[0].no_wrap = True
    for entry in _files():
        here = "yes" if entry.name in cached else ""
        table.add_row(entry.name, entry.task, str(entry.resolution or ""), _scores(entry), _host(entry), here)
    return table


def markdown() -> str:
    """One table a task, of all that can be downloaded, for ``docs/zoo.md``."""
    parts = []
    for task, entries in groupby(_files(), lambda entry: entry.task):
        parts.append(f"### {task}\n\n{markdown_table([_HEAD, *map(_cells, entries)])}")
    return "\n".join(parts)


def _cells(entry: Entry) -> list[str]:
    millions = f"{entry.parameters / 1e6:.1f} M" if entry.parameters else ""
    config = f"[{entry.config.rsplit('/', 1)[1]}](../{entry.config})" if entry.config else ""
    note = f" ({entry.note})" if entry.note else ""
    name = f"[`{entry.name}`]({entry.sources[0]}){note}"
    return [name, str(entry.resolution or ""), millions, _scores(entry), config, _host(entry)]


def _files() -> Iterator[Entry]:
    return (entry for entry in read_index().values() if entry.sources)


def _scores(entry: Entry) -> str:
    """Each dataset's, without what the metric's name repeats."""
    return "; ".join(
        f"{', '.join(f'{name} {value:g}' for name, value in result.metrics)} ({result.dataset})" for result in entry.results
    )


def _host(entry: Entry) -> str:
    return str(urlsplit(entry.sources[0]).hostname)
