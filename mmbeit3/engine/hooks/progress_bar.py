"""A bar for training and one for evaluation on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from mmbeit3.terminal import Terminal

__all__ = ["ProgressBar"]


class ProgressBar:
    """A bar for training, which is optional, and one for evaluation below it. Lines of the terminal are printed above the bars.

    Args:
        terminal: where to draw.
        title: text before the training bar; None for no such bar.
        total: number of iterations.
        completed: number of iterations that an earlier run has done.
    """

    def __init__(self, terminal: Terminal, title: str | None = None, total: int = 0, completed: int = 0) -> None:
        console = Console(file=terminal.stdout, highlight=False)
        self._terminal = terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            # The streams are diverted already.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._evaluation: TaskID | None = None
        self._training: TaskID | None = None
        if title is not None:
            self._training = self._progress.add_task(title, total=total, completed=completed, note="")
        terminal.printer = lambda line: console.print(line, markup=False, soft_wrap=True)
        self._progress.start()

    def advance(self, completed: int, note: str | None = None) -> None:
        """Show a number of iterations, and a text after the bar if it is given."""
        assert self._training is not None
        if note is None:
            self._progress.update(self._training, completed=completed)
        else:
            self._progress.update(self._training, completed=completed, note=note)

    def start_evaluation(self, title: str, total: int) -> None:
        """Add the bar of an evaluation."""
        self._evaluation = self._progress.add_task(title, total=total, note="")

    def advance_evaluation(self) -> None:
        """Advance the bar of the evaluation by one batch."""
        if self._evaluation is not None:
            self._progress.advance(self._evaluation)

    def end_evaluation(self) -> None:
        """Remove the bar of the evaluation."""
        if self._evaluation is not None:
            self._progress.remove_task(self._evaluation)
            self._evaluation = None

    def close(self) -> None:
        """Leave the bars as they are, and show the cursor again."""
        self._terminal.printer = None
        self._progress.stop()
