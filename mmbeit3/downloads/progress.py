"""The progress bar of a download."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

__all__ = ["DownloadBar"]


class DownloadBar:
    """Progress, speed and last error of a download. Nothing is printed if stderr is not a terminal.

    Args:
        title: text before the bar.
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
        # Older versions of rich print an empty line even if the bar is disabled.
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
        """Update the bytes so far, the total (None keeps the last one) and the note after the bar."""
        if total is not None:
            self._progress.update(self._task, total=total)
        self._progress.update(self._task, completed=done, note=note)
