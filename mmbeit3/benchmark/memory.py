"""Peak memory of a step, each time in a fresh process: what ran before would leave its mark on any other."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from mmbeit3.benchmark.cases import Step, Unavailable
from mmbeit3.benchmark.settings import Settings

__all__ = ["Peak", "peak_memory", "peak_of_step"]


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


def peak_memory(suite: str, case: str, who: str, settings: Settings) -> Peak:
    """Run one contender's step once in a process of its own.

    Args:
        suite: name of the suite.
        case: name of the case in it.
        who: name of the contender.
        settings: what the suite's cases are made of.

    Raises:
        Unavailable: if the process did not survive, or the contender lacks something.
    """
    task = json.dumps({"suite": suite, "case": case, "who": who, "settings": settings.to_dict()})
    command = [sys.executable, "-m", "mmbeit3.benchmark.probe", task]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode < 0:
        raise Unavailable(f"memory: the process was ended by signal {-result.returncode} (9: too little memory)")
    if result.returncode:
        raise Unavailable(f"memory: {(result.stderr.strip().splitlines() or ['the process failed'])[-1]}")
    return Peak(**json.loads(result.stdout.splitlines()[-1]))


def peak_of_step(step: Step, device: torch.device) -> Peak:
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
