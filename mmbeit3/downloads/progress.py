"""A bar for a download."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

__all__ = ["DownloadBar"]


class DownloadBar:
    """Shows how much came, how fast, and what the last trouble was. Silent where stderr is no terminal.

    Args:
        title: what stands before the bar.
    """

    def __init__(self, title: str) -> None:
        console = Console(stderr=True)
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._progress = Progress(
            TextColumn("{task.description}"),
            *columns,
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        # Older versions of rich write an empty line even where the bar is disabled.
        self._shown = console.is_terminal
        self._task = self._progress.add_task(title, total=None, note="")

    def __enter__(self) -> DownloadBar:
        if self._shown:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._shown:
            self._progress.stop()

    def __call__(self, done: int, total: int | None, note: str) -> None:
        """Show ``done`` of ``total`` bytes, which stays as it was if None, and a note."""
        if total is not None:
            self._progress.update(self._task, total=total)
        self._progress.update(self._task, completed=done, note=note)
