"""Progress bar for long work on many files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from mmbeit3.terminal import current_terminal

__all__ = ["show_progress"]

T = TypeVar("T")


def show_progress(items: Sequence[T], title: str, least: int = 0) -> Iterator[T]:
    """Iterate over items with a progress bar, if the output is a terminal.

    Args:
        items: the items.
        title: text before the bar.
        least: number of items from which on the bar is shown.
    """
    terminal = current_terminal()
    console = Console(file=terminal.stdout if terminal is not None else sys.stdout)
    shown = len(items) >= least and console.is_terminal
    yield from track(items, title, console=console, transient=True) if shown else items
