"""Stop training when the validation score no longer improves, also across resumes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmbeit3.errors import UserError
from mmbeit3.files import write_atomically
from mmbeit3.registry import HOOKS

__all__ = ["EarlyStopHook"]

_PREFERRED = ("mIoU",)
"""Scores that are monitored although they are not the first that the metric returns."""


@HOOKS.register_module()
class EarlyStopHook(Hook):
    """Stop training after ``patience`` validations without a new best score.

    MMEngine's ``EarlyStoppingHook`` forgets earlier scores when training resumes. This hook keeps them in the work directory,
    in ``early_stop.json``, because a checkpoint is written before the validation that follows it.

    Args:
        patience: number of validations without improvement, at least 1.
        monitor: name of the score; None for ``mIoU`` if it exists, else the first one.
        rule: ``greater`` or ``less``; None for ``less`` if the name contains ``loss``, else ``greater``.
        min_delta: smallest difference that counts as an improvement.

    Raises:
        ValueError: for a ``patience`` below 1 or another ``rule``.
    """

    # After the checkpoint hook, which may save the best weights.
    priority = "LOWEST"

    def __init__(self, patience: int, monitor: str | None = None, rule: str | None = None, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"patience must be at least 1, got {patience}")
        if rule not in (None, "greater", "less"):
            raise ValueError(f"rule must be 'greater' or 'less', got {rule!r}")
        self.patience = patience
        self.monitor = monitor
        self.rule = rule
        self.min_delta = min_delta
        self._scores: list[tuple[int, float]] = []

    def before_train(self, runner: Runner) -> None:
        """Read the scores of the validations before the resumed checkpoint, and that of the checkpoint itself."""
        found: list[Any] = [[]]
        if is_main_process() and runner.iter > 0 and self._file(runner).is_file():
            found = [json.loads(self._file(runner).read_text(encoding="utf-8"))]
        # Other machines may not have the file.
        broadcast_object_list(found)
        record = found[0] if isinstance(found[0], dict) else {"scores": found[0]}  # older files have the scores alone
        self.monitor = self.monitor or record.get("monitor")
        self._scores = [(step, score) for step, score in record["scores"] if step <= runner.iter]
        if self._is_over():
            self._stop(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Record the score, and stop if it is time.

        Raises:
            UserError: if the monitored score does not exist.
        """
        metrics = metrics or {}
        if self.monitor is None:
            self.monitor = next((name for name in (*_PREFERRED, *metrics) if name in metrics), "")
        if self.monitor not in metrics:
            raise UserError(
                f"early stop: the validation has no score '{self.monitor}': use one of {', '.join(metrics)} as monitor"
            )
        self._scores.append((runner.iter, float(metrics[self.monitor])))
        if is_main_process():
            record = {"monitor": self.monitor, "scores": self._scores}
            write_atomically(self._file(runner), json.dumps(record).encode())
        if self._is_over():
            self._stop(runner)

    def _is_over(self) -> bool:
        """Return True if the last ``patience`` scores are no better than the best before them."""
        less = self.rule == "less" or (self.rule is None and "loss" in (self.monitor or ""))
        best, waited = -math.inf, 0
        for _, score in self._scores:
            value = -score if less else score
            if value > best + self.min_delta or (best == -math.inf and math.isfinite(value)):
                best, waited = value, 0
            else:
                waited += 1
        return waited >= self.patience

    def _stop(self, runner: Runner) -> None:
        runner.train_loop.stop_training = True
        runner.logger.warning(
            f"stopped early after iteration {runner.iter}: {self.monitor or 'the score'} has not improved for {self.patience} "
            f"validation{'' if self.patience == 1 else 's'}"
        )

    def _file(self, runner: Runner) -> Path:
        return Path(runner.work_dir) / "early_stop.json"
