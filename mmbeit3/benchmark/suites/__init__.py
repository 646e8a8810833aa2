"""The benchmarks by name: each a function from settings to cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mmbeit3.benchmark.cases import Case
from mmbeit3.benchmark.settings import Settings
from mmbeit3.benchmark.suites.captioning import caption
from mmbeit3.benchmark.suites.memory import memory
from mmbeit3.benchmark.suites.networks import backbone, train_step
from mmbeit3.benchmark.suites.ops import ops
from mmbeit3.benchmark.suites.pretrain_step import pretrain_step

__all__ = ["SUITES"]

SUITES: dict[str, Callable[[Settings], Iterator[Case]]] = {
    "ops": ops,
    "backbone": backbone,
    "train-step": train_step,
    "pretrain-step": pretrain_step,
    "caption": caption,
    "memory": memory,
}
