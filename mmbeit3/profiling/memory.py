"""Measure the peak memory of a step. Run it in a fresh process: earlier work changes what the allocator holds."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["Peak", "peak_of_step"]


@dataclass(frozen=True)
class Peak:
    """Memory of a process around a step.

    Attributes:
        held_bytes: held before the step: weights, and on a CPU the libraries.
        step_bytes: the most that was held during the step, less that.
        seconds: how long the step took, cold.
    """

    held_bytes: int
    step_bytes: int
    seconds: float


def peak_of_step(step: Callable[[], Any], device: torch.device) -> Peak:
    """Run a step once and say how much memory it took. On a CPU this is exact on Linux only.

    Args:
        step: the first call is what counts, so that gradients are allocated in it as in the first step of a training.
        device: where it runs.
    """
    _load_libraries(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
    else:
        _forget_peak()
        held = _resident("VmRSS")
    start = time.perf_counter()
    kept = step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    most = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident("VmHWM")
    del kept
    return Peak(held, max(most - held, 0), seconds)


def _load_libraries(device: torch.device) -> None:
    """Have matrix, convolution and autograd code in memory before counting starts."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 8)).to(device)
    net(torch.ones(1, 3, 16, 16, device=device)).sum().backward()


def _forget_peak() -> None:
    """Set the kernel's record of the largest resident size to the present one."""
    with suppress(OSError, AttributeError):
        # What the allocator keeps for later would otherwise be used by the step unseen.
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _resident(name: str) -> int:
    """Bytes of this process that are in memory: ``VmRSS`` now, ``VmHWM`` at most since the record was reset.

    ``getrusage`` would do for the most as well, but starts from the parent's where a process was forked from a large one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest
