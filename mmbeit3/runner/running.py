"""Train and test, and report errors that the user can fix in one line, whichever library raised them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmbeit3.engine.hooks.console import ConsoleHook
from mmbeit3.errors import UserError, one_line

__all__ = ["explain_failure", "test", "train"]

_KNOWN: tuple[tuple[type[Exception], str, str], ...] = (
    (
        ValueError,
        r"Expected more than 1 value per channel when training",
        "batch norm got a single value per channel, from a batch of one image (the last batch of an epoch can be smaller than "
        "batch_size): use a batch_size of at least 2 and drop_last=True in train_dataloader, larger images, or "
        "norm_cfg=dict(type='mmbeit3.LN2d')",
    ),
    (
        torch.OutOfMemoryError,
        "",
        "the accelerator is out of memory: use a smaller batch_size, smaller images, or with_cp=True in the backbone",
    ),
    (
        RuntimeError,
        r"DataLoader worker .*(?:killed|exited unexpectedly)",
        "a worker of the data loader was killed, usually because memory ran out: use fewer num_workers or a smaller batch_size",
    ),
)
"""Known errors of training: type, regex of the message, and the line that the user sees."""


class _Progress(Hook):
    """Record that a step was completed."""

    begun = False

    def after_train_iter(self, *args: Any, **kwargs: Any) -> None:
        self.begun = True

    def after_test_iter(self, *args: Any, **kwargs: Any) -> None:
        self.begun = True


def train(runner: Runner, command: str | None = None) -> None:
    """Train, and report errors that the user can fix in one line.

    Args:
        runner: from :func:`~mmbeit3.runner.build.build_runner`.
        command: command that resumes after an interruption.

    Raises:
        UserError: for any error before the first step is complete, and later for errors of :func:`explain_failure`.
        KeyboardInterrupt: with a message that says how to resume.
    """
    try:
        _run(runner, runner.train, "training")
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_interrupted(runner, command)) from None


def test(runner: Runner) -> dict[str, float]:
    """Test, return the scores, and report errors as :func:`train` does."""
    try:
        return dict(_run(runner, runner.test, "testing"))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted: testing has no intermediate results, start it again") from None


def _run(runner: Runner, run: Callable[[], Any], what: str) -> Any:
    progress = _Progress()
    runner.register_hook(progress, priority="LOWEST")
    try:
        return run()
    except UserError:
        raise
    except Exception as error:
        reason = explain_failure(error)
        if reason is None and not progress.begun:
            reason = f"{what} cannot start: {type(error).__name__}: {one_line(error)}"
        if reason is None:
            raise
        raise UserError(reason) from error
    finally:
        for hook in runner.hooks:
            # A bar hides the cursor.
            if isinstance(hook, ConsoleHook):
                hook.close()


def explain_failure(error: Exception) -> str | None:
    """Return one line about what to do, or None if the error may be a bug."""
    for kind, pattern, reason in _KNOWN:
        if isinstance(error, kind) and re.search(pattern, str(error)):
            return reason
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: '{error.filename}'" if error.filename else error.strerror
    return None


def _interrupted(runner: Runner, command: str | None) -> str:
    step = f"interrupted at iteration {runner.iter}"
    record = Path(runner.work_dir) / "last_checkpoint"
    if not record.is_file():
        return f"{step}, before the first checkpoint: start again from the beginning"
    checkpoint = Path(record.read_text(encoding="utf-8").strip()).name
    return f"{step}; to resume from {checkpoint}: {command or 'resume from the work directory ' + str(runner.work_dir)}"
