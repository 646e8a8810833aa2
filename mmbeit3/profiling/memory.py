"""Measure the peak memory of a step. Use a fresh process, because earlier work changes what the allocator holds."""

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

__all__ = ["PeakMemory", "peak_of_step", "peak_resident"]


@dataclass(frozen=True)
class PeakMemory:
    """Memory of a process before and during a step.

    Attributes:
        held_bytes: memory before the step: weights, and on a CPU also the libraries.
        step_bytes: peak memory during the step minus ``held_bytes``.
        seconds: duration of the step without warm-up.
    """

    held_bytes: int
    step_bytes: int
    seconds: float


def peak_of_step(step: Callable[[], Any], device: torch.device) -> PeakMemory:
    """Run a step once and measure its peak memory. On a CPU the result is exact on Linux only.

    Args:
        step: the step. It has not run before, so gradients are allocated during the measurement as in the first training step.
        device: device of the step.
    """
    _warm_up_libraries(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
    else:
        _reset_peak()
        held = _resident("VmRSS")
    start = time.perf_counter()
    # The result stays alive, so that its memory counts.
    kept = step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _resident("VmHWM")
    del kept
    return PeakMemory(held, max(peak - held, 0), seconds)


def peak_resident() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    return _resident("VmHWM")


def _warm_up_libraries(device: torch.device) -> None:
    """Load the code for matrix products, convolutions and autograd into memory, so that the measurement does not count it."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 8)).to(device)
    net(torch.ones(1, 3, 16, 16, device=device)).sum().backward()


def _reset_peak() -> None:
    """Reset the peak resident size that the Linux kernel records to the current size."""
    with suppress(OSError, AttributeError):
        # Return free memory to the system; otherwise the step would reuse it without a change of the resident size.
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _resident(name: str) -> int:
    """Return the resident size of this process in bytes: ``VmRSS`` the current one, ``VmHWM`` the peak since the last reset.

    ``getrusage`` also gives the peak, but a process forked from a large one inherits the parent's peak.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest
