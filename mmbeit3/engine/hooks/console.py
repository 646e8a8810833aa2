"""The lines and the progress bar that a quiet command prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner

from mmbeit3.engine.console_text import describe_peak_memory, format_scores, short_path, startup_lines
from mmbeit3.engine.hooks.progress_bar import ProgressBar
from mmbeit3.engine.hooks.throughput import ThroughputHook
from mmbeit3.terminal import Terminal, format_duration

__all__ = ["ConsoleHook"]

_ESTIMATED = 20
"""Number of iterations after which the remaining time is estimated."""

_LONG_WAIT = 0.3
"""Share of waiting for data above which the hook advises to change the data loader."""


class ConsoleHook(Hook):
    """Print a run's start-up, progress, scores and end on the first rank: a bar, or lines if it is no terminal.

    Losses are those that MMEngine has logged, so the hook does not wait for a GPU.

    Args:
        terminal: where to print.
        splits: those of ``train``, ``val`` and ``test`` that will run.
        title: text before the bar. If given, only bar or progress lines, warnings and errors are printed.
        suggest: function that returns the lines that suggest what to do next, from the path of a checkpoint or None.
    """

    # Last, so that the checkpoint hook has chosen the best checkpoint.
    priority = "LOWEST"

    def __init__(
        self,
        terminal: Terminal,
        splits: tuple[str, ...],
        title: str | None = None,
        suggest: Callable[[str | None], list[str]] | None = None,
    ) -> None:
        self.terminal = terminal
        self.splits = splits
        self.title = title
        self.suggest = suggest
        self._bar: ProgressBar | None = None
        self._steps = 0
        self._start = self._evaluation_start = time.monotonic()

    def before_train(self, runner: Runner) -> None:
        """Print the start-up lines, and start the bar."""
        self._steps, self._start = 0, time.monotonic()
        if not is_main_process():
            return
        self._print_start(runner)
        if self.terminal.stdout.isatty():
            self._bar = ProgressBar(self.terminal, self.title or "training", runner.max_iters, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Advance the bar, or print a line at the end of a logging interval."""
        self._steps += 1
        if not is_main_process():
            return
        step, total = runner.iter + 1, runner.max_iters
        interval = next((hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)), 10)
        if step % interval == 0 or step == total or (self._bar is not None and self._steps == 1):
            progress = ", ".join(_progress(runner, interval, total - step))
            if self._bar is not None:
                self._bar.advance(step, progress)
            else:
                self.terminal.print(f"{self.title or 'iteration'} {step}/{total}: {progress}")
        elif self._bar is not None:
            self._bar.advance(step)
        if self._steps == _ESTIMATED and step < total:
            self._print_estimate(runner, total - step)

    def before_val_epoch(self, runner: Runner) -> None:
        """Show a second bar while validating."""
        self._start_evaluation("validating", runner.val_dataloader)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Advance the second bar."""
        if self._bar is not None:
            self._bar.advance_evaluation()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Remove the second bar, and print the scores."""
        when = f"iteration {runner.iter}"
        if "Epoch" in type(runner.train_loop).__name__:
            when = f"epoch {runner.epoch}, {when}"
        self._end_evaluation(f"validation after {when}", metrics)

    def before_test(self, runner: Runner) -> None:
        """Print the start-up lines."""
        if is_main_process():
            self._print_start(runner)

    def before_test_epoch(self, runner: Runner) -> None:
        """Start the bar."""
        if is_main_process() and self.terminal.stdout.isatty():
            self._bar = ProgressBar(self.terminal)
        self._start_evaluation("testing", runner.test_dataloader)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Advance the bar."""
        self.after_val_iter(runner, batch_idx)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """End the bar, and print the scores."""
        self._end_evaluation("test", metrics)
        self.close()
        self._print_next(None)

    def after_train(self, runner: Runner) -> None:
        """End the bar; print the checkpoints, the total time and what to do next."""
        self.close()
        if not is_main_process() or self.title is not None:
            return
        best, last = _best_checkpoints(runner), runner.message_hub.get_info("last_ckpt", None)
        for key, path, score in best:
            self.terminal.print(f"best         {short_path(path)} ({key} {score:.4g})")
        if last:
            self.terminal.print(f"last         {short_path(last)}")
        taken = f"{format_duration(time.monotonic() - self._start)}, peak {describe_peak_memory()}"
        self.terminal.print(f"time         {taken}{_waiting(runner)}")
        self._print_next(best[0][1] if best else last)

    def close(self) -> None:
        """End the bar. Call it also after an error, because a bar hides the cursor."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _print_start(self, runner: Runner) -> None:
        if self.title is None:
            self.terminal.print(*startup_lines(runner, self.splits))

    def _print_next(self, checkpoint: str | None) -> None:
        if is_main_process() and self.title is None and self.suggest is not None:
            self.terminal.print(*self.suggest(checkpoint))

    def _print_estimate(self, runner: Runner, remaining: int) -> None:
        """Print the expected time, and advice if training waits for data."""
        hook = _throughput(runner)
        pace = hook.pace if hook is not None else None
        if pace is None:
            return
        rest = format_duration(remaining * pace.seconds)
        line = (
            f"about {rest} for the other {remaining} iterations, plus validation: {pace.seconds:.3g} s per iteration, "
            f"peak {describe_peak_memory()}, {pace.waiting:.0%} of the time waiting for data"
        )
        runner.logger.info(line)
        if self.title is not None:
            return
        self.terminal.print(line)
        if pace.waiting > _LONG_WAIT:
            workers = getattr(runner.train_dataloader, "num_workers", 0)
            self.terminal.print(
                f"hint: the data loader limits the speed: try --cfg-options train_dataloader.num_workers={max(2, 2 * workers)} "
                f"(now {workers}), or smaller image files"
            )

    def _start_evaluation(self, title: str, loader: Any) -> None:
        self._evaluation_start = time.monotonic()
        if self._bar is not None:
            self._bar.start_evaluation(title, len(loader))

    def _end_evaluation(self, title: str, metrics: dict[str, float] | None) -> None:
        if self._bar is not None:
            self._bar.end_evaluation()
        if not is_main_process() or self.title is not None:
            return
        taken = format_duration(time.monotonic() - self._evaluation_start)
        self.terminal.print(f"{title} ({taken})", *format_scores(metrics or {}))


def _progress(runner: Runner, interval: int, remaining: int) -> list[str]:
    """Format the mean loss of the interval, the speed and the remaining time."""
    scalars = runner.message_hub.log_scalars
    parts = []
    if "train/loss" in scalars:
        parts.append(f"loss {scalars['train/loss'].mean(interval):.4g}")
    hook = _throughput(runner)
    if hook is not None and (pace := hook.pace) is not None:
        parts.append(f"{pace.seconds:.3g} s/it")
        if remaining:
            parts.append(f"{format_duration(remaining * pace.seconds)} left")
    return parts


def _throughput(runner: Runner) -> ThroughputHook | None:
    return next((hook for hook in runner.hooks if isinstance(hook, ThroughputHook)), None)


def _waiting(runner: Runner) -> str:
    hook = _throughput(runner)
    pace = hook.pace if hook is not None else None
    return "" if pace is None else f", {pace.waiting:.0%} of training waiting for data"


def _best_checkpoints(runner: Runner) -> list[tuple[str, str, float]]:
    """List (metric, path, score) of the best checkpoints."""
    found = []
    for hook in runner.hooks:
        keys = getattr(hook, "key_indicators", None) or []
        for key in keys:
            suffix = "" if len(keys) == 1 else f"_{key}"
            path = runner.message_hub.get_info(f"best_ckpt{suffix}", None)
            if path is not None:
                found.append((key, path, float(runner.message_hub.get_info(f"best_score{suffix}"))))
    return found
