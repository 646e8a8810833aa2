"""Suites of benchmarks by name; a suite is a function that yields cases for settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.cases import Case
from benchmarks.settings import Settings
from benchmarks.suites.captioning import caption_cases
from benchmarks.suites.memory import memory_cases
from benchmarks.suites.networks import backbone_cases, train_step_cases
from benchmarks.suites.ops import ops_cases
from benchmarks.suites.pretrain_step import pretrain_step_cases

__all__ = ["SUITES"]

SUITES: dict[str, Callable[[Settings], Iterator[Case]]] = {
    "ops": ops_cases,
    "backbone": backbone_cases,
    "train-step": train_step_cases,
    "pretrain-step": pretrain_step_cases,
    "caption": caption_cases,
    "memory": memory_cases,
}
