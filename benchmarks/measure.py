"""Measure a case: build its contenders, check that they agree, then measure their durations and peak memory."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from benchmarks.cases import OURS, Case, Contender, Step, Unavailable
from benchmarks.checking import Check
from benchmarks.host_time import host_and_device_ms
from benchmarks.limits import TimeLimit
from benchmarks.memory import peak_memory
from benchmarks.rows import Row
from benchmarks.settings import Settings
from benchmarks.timing import interleave
from mmbeit3.profiling.flops import count_flops
from mmbeit3.profiling.machine import matrix_peak, memory_bandwidth, synchronizer
from mmbeit3.profiling.memory import PeakMemory, peak_of_step

__all__ = ["Limits", "measure"]


@dataclass(frozen=True)
class Limits:
    """Peak speeds of the machine, measured on first use and then kept.

    Attributes:
        settings: device, and ``quick`` to measure with small sizes.
    """

    settings: Settings

    def peak(self, dtype: str) -> float:
        """Return the peak GFLOP/s of matrix products in a dtype."""
        return _peak(self.settings.device, dtype, self.settings.quick)

    def bandwidth(self) -> float:
        """Return the GB/s of a memory copy."""
        return _bandwidth(self.settings.device, self.settings.quick)


@cache
def _peak(device: str, dtype: str, quick: bool) -> float:
    kind = torch.device(device)
    return matrix_peak(kind, getattr(torch, dtype), (128,), 0.01) if quick else matrix_peak(kind, getattr(torch, dtype))


@cache
def _bandwidth(device: str, quick: bool) -> float:
    return memory_bandwidth(torch.device(device), 2**20 if quick else None)


def measure(suite: str, case: Case, settings: Settings, limits: Limits) -> list[Row]:
    """Measure one case.

    Args:
        suite: name of the suite of the case; the processes that measure memory find the case by it.
        case: the case.
        settings: device, threads and budget.
        limits: peak speeds of the machine.

    Returns:
        One row per contender, also for those that could not run.

    Raises:
        RuntimeError, NotImplementedError: if a contender of mmbeit3 fails for another reason than too little GPU memory.
    """
    rows = {contender.name: Row(case.name, contender.name, case.dtype) for contender in case.contenders}
    if case.bytes_moved:
        for row in rows.values():
            row.floor_ms = case.bytes_moved / limits.bandwidth() / 1e6
    runnable = _measure_time(case, settings, limits, rows) if case.timed else list(rows)
    if case.memory and case.timed and torch.device(settings.device).type == "cuda":
        _add_memory_ratios(case, rows)
    elif case.memory:
        _measure_memory(suite, case, settings, {name: rows[name] for name in runnable})
    return list(rows.values())


def _measure_time(case: Case, settings: Settings, limits: Limits, rows: dict[str, Row]) -> list[str]:
    """Fill in the durations of rows; return the names of the contenders that could run and agree."""
    device = torch.device(settings.device)
    steps: dict[str, Step] = {}
    flops = 0
    try:
        check = Check(case)
    except torch.OutOfMemoryError as error:
        for row in rows.values():
            row.note = f"not compared with float32: {_first_line(error)}"
        return []
    for contender in case.contenders:
        row = rows[contender.name]
        limit = TimeLimit(settings.patience)
        try:
            with limit:
                step = contender.make(True)
                result, memory = _first_call(step, device)
                row.note = check.compare(contender, result, row)
                del result
                if not flops:
                    _, flops = count_flops(step)
        except Unavailable as reason:
            row.note = str(reason)
            continue
        except (RuntimeError, NotImplementedError) as error:
            if _is_ours(contender) and not limit.passed and not isinstance(error, torch.OutOfMemoryError):
                raise
            row.note = f"failed: {_first_line(error)}"
            continue
        if limit.passed:
            row.note = f"first call stopped after {settings.patience:g} s"
        if not row.note:
            steps[contender.name] = step
            if memory is not None:
                row.memory_mb, row.held_mb, row.cold_s = memory.step_bytes / 1e6, memory.held_bytes / 1e6, memory.seconds
    if not steps:
        return []
    # The call whose result was checked was also the warm-up.
    timings = interleave(steps, settings.budget, warmup=0, synchronize=synchronizer(device))
    peak = limits.peak(case.dtype)
    ours = timings.get(case.contenders[0].name)
    for name, timing in timings.items():
        rows[name].add_timing(timing, ours, flops, peak, case.images)
        if device.type == "cuda" and name.startswith(OURS):
            rows[name].host_ms, rows[name].device_ms = host_and_device_ms(steps[name])
    runnable = list(steps)
    # Free the networks before memory is measured.
    steps.clear()
    gc.collect()
    return runnable


def _first_call(step: Step, device: torch.device) -> tuple[Sequence[Tensor], PeakMemory | None]:
    """Call a step for the first time; return its result and, on a GPU, the peak memory of its tensors.

    PyTorch's allocator counts exactly what a GPU's tensors need. On a CPU, earlier work of the process would count as well.
    """
    if device.type != "cuda":
        return step(), None
    kept: list[Sequence[Tensor]] = []
    memory = peak_of_step(lambda: kept.append(step()), device)
    return kept[0], memory


def _measure_memory(suite: str, case: Case, settings: Settings, rows: dict[str, Row]) -> None:
    """Fill in the peak memory of rows, each measured in a process of its own."""
    first: float | None = None
    for name, row in rows.items():
        try:
            # The process finds the case by its name, which does not contain the dtype.
            peak = peak_memory(suite, case.name, name, replace(settings, dtypes=(case.dtype,)))
        except Unavailable as reason:
            row.note = str(reason)
            continue
        row.memory_mb, row.held_mb, row.cold_s = peak.step_bytes / 1e6, peak.held_bytes / 1e6, peak.seconds
        if name == case.contenders[0].name:
            first = row.memory_mb
        row.memory_ratio = row.memory_mb / first if first else None


def _add_memory_ratios(case: Case, rows: dict[str, Row]) -> None:
    """Fill in the memory relative to that of the first contender."""
    first = rows[case.contenders[0].name].memory_mb
    for row in rows.values():
        row.memory_ratio = row.memory_mb / first if first and row.memory_mb is not None else None


def _is_ours(contender: Contender) -> bool:
    return contender.name.startswith(OURS)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
