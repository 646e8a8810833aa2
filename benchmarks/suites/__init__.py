"""The benchmarks by name: each a function from settings to cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.cases import Case
from benchmarks.settings import Settings
from benchmarks.suites.captioning import caption
from benchmarks.suites.memory import memory
from benchmarks.suites.networks import backbone, train_step
from benchmarks.suites.ops import ops
from benchmarks.suites.pretrain_step import pretrain_step

__all__ = ["SUITES"]

SUITES: dict[str, Callable[[Settings], Iterator[Case]]] = {
    "ops": ops,
    "backbone": backbone,
    "train-step": train_step,
    "pretrain-step": pretrain_step,
    "caption": caption,
    "memory": memory,
}
