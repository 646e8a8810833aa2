"""A progress bar for training and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmbeit3.registry import HOOKS

__all__ = ["ProgressBarHook"]


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Show iterations, loss and remaining time on the first rank if stderr is a terminal.

    Args:
        title: text before the bar.
    """

    priority = "VERY_LOW"

    def __init__(self, title: str = "training") -> None:
        self.title = title
        self._progress: Progress | None = None
        self._train: Any = None
        self._val: Any = None

    def before_train(self, runner: Runner) -> None:
        """Start the bar."""
        console = Console(stderr=True)
        if not is_main_process() or not console.is_terminal:
            return
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._progress.start()
        self._train = self._progress.add_task(self.title, total=runner.max_iters, completed=runner.iter, note="")

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Advance by one iteration."""
        if self._progress is not None:
            loss = (outputs or {}).get("loss")
            note = "" if loss is None else f"loss {float(loss):.3f}"
            self._progress.update(self._train, completed=runner.iter + 1, note=note)

    def before_val_epoch(self, runner: Runner) -> None:
        """Show a second bar while validating."""
        if self._progress is not None:
            total = len(runner.val_dataloader)
            self._val = self._progress.add_task("validating", total=total, note="")

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Advance the second bar."""
        if self._progress is not None and self._val is not None:
            self._progress.advance(self._val)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Remove the second bar."""
        if self._progress is not None and self._val is not None:
            self._progress.remove_task(self._val)
            self._val = None

    def after_train(self, runner: Runner) -> None:
        """End the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
