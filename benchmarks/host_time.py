"""Time of the host and of the GPU in a call: it is bound by the host if launching kernels takes longer than running them."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

__all__ = ["host_and_device_ms"]


def host_and_device_ms(call: Callable[[], Any], calls: int = 5, profiled: int = 2) -> tuple[float, float | None]:
    """Measure a warm call on a GPU.

    Args:
        call: the call; it must not wait for the GPU, otherwise the host's time contains the waiting.
        calls: number of calls whose host time is measured.
        profiled: number of calls under PyTorch's profiler.

    Returns:
        Median milliseconds until the call returns to the host, and milliseconds in which kernels and copies run on the GPU, per
        call; None if the profiler sees no kernels. Kernels that run at the same time count twice.
    """
    seconds = []
    for _ in range(calls):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(profiled):
            call()
        torch.cuda.synchronize()
    # Ranges that users mark appear on the GPU's time line, too, and contain kernels.
    events = [event for event in profiler.events() if event.device_type == DeviceType.CUDA and not event.is_user_annotation]
    busy = sum(event.time_range.elapsed_us() for event in events)
    return 1e3 * median(seconds), busy / 1e3 / profiled if events else None
