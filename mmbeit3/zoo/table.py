"""Tables of the zoo's files, for the terminal and for ``docs/zoo.md``."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from urllib.parse import urlsplit

from rich import box
from rich.table import Table

from mmbeit3.markdown import markdown_table
from mmbeit3.zoo.index import Model, index_root, read_index

__all__ = ["markdown_tables", "terminal_table"]

_HEADER = ("name", "pixels", "parameters", "published scores", "config", "host")


def terminal_table(cached: set[str]) -> Table:
    """Return a table of all files.

    Args:
        cached: names of the files that are already in the cache.
    """
    table = Table("name", "task", "pixels", "published scores", "host", "cached", box=box.SIMPLE)
    table.columns[0].no_wrap = True
    for model in _published():
        is_cached = "yes" if model.name in cached else ""
        table.add_row(model.name, model.task, str(model.resolution or ""), _scores(model), _host(model), is_cached)
    return table


def markdown_tables() -> str:
    """Return one Markdown table of files per task."""
    root = index_root().absolute()
    tables = []
    for task, models in groupby(_published(), lambda model: model.task):
        rows = [_HEADER, *(_cells(model, root) for model in models)]
        tables.append(f"### {task}\n\n{markdown_table(rows)}")
    return "\n".join(tables)


def _cells(model: Model, root: Path) -> list[str]:
    millions = f"{model.parameters / 1e6:.1f} M" if model.parameters else ""
    path = Path(model.config)
    config = f"[{path.name}](../{path.relative_to(root).as_posix()})" if model.config else ""
    note = f" ({model.note})" if model.note else ""
    name = f"[`{model.name}`]({model.sources[0]}){note}"
    return [name, str(model.resolution or ""), millions, _scores(model), config, _host(model)]


def _published() -> list[Model]:
    return [model for model in read_index().values() if model.sources]


def _scores(model: Model) -> str:
    return "; ".join(
        f"{', '.join(f'{name} {value:g}' for name, value in result.metrics.items())} ({result.dataset})"
        for result in model.results
    )


def _host(model: Model) -> str:
    return str(urlsplit(model.sources[0]).hostname)
