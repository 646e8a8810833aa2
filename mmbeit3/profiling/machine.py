"""Describe the machine and the software versions, and measure the peak speed of the machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmbeit3.versions import find_installed

__all__ = ["describe_machine", "matrix_peak", "memory_bandwidth", "synchronizer", "usable_cores"]

_PACKAGES = ("torch", "timm", "mmcv", "mmdet", "torchscale", "fairscale", "transformers", "triton")


def describe_machine(device: torch.device) -> dict[str, str]:
    """Describe the machine and the versions in use.

    Args:
        device: the measured device; the name of a GPU is included.

    Returns:
        Labels to values, in display order.
    """
    facts = {
        "CPU": f"{_cpu_name()}, {usable_cores()} of {os.cpu_count()} cores usable",
        "CPU capability": torch.backends.cpu.get_cpu_capability(),
    }
    if device.type == "cuda":
        facts["GPU"] = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
        facts["float32 matrix products"] = torch.get_float32_matmul_precision()
    facts["system"] = f"{platform.system()} {platform.release()}"
    facts["Python"] = platform.python_version()
    return facts | {name: _version(name) for name in _PACKAGES}


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def synchronizer(device: torch.device) -> Callable[[], None]:
    """Return a function that waits until a device has finished all its work."""
    return torch.cuda.synchronize if device.type == "cuda" else _nothing


def matrix_peak(device: torch.device, dtype: torch.dtype, sizes: Sequence[int] | None = None, seconds: float = 1.0) -> float:
    """Measure the speed of square matrix products, an upper bound of the speed of a network.

    The result is the best of all calls over several sizes, with PyTorch's current number of threads. On a CPU in float32, both
    of PyTorch's libraries are tried: on some processors MKL uses half of the SIMD width and oneDNN all of it.

    Args:
        device: device to measure.
        dtype: dtype of the matrices.
        sizes: sides of the matrices; default sizes that suit the device.
        seconds: duration per size; each size gets at least three calls.

    Returns:
        GFLOP/s; a multiply-add counts as two.
    """
    if sizes is None:
        sizes = (2048, 4096, 8192) if device.type == "cuda" else (512, 1024, 2048)
    wait = synchronizer(device)
    # Its own random numbers, because the measurement must not change those of a training that starts afterwards.
    generator = torch.Generator(device).manual_seed(0)
    best = 0.0
    for size in sizes:
        a, b = (torch.randn(size, size, device=device, generator=generator).to(dtype) for _ in range(2))
        for multiply in _products(device, dtype):
            multiply(a, b)
            wait()
            end, calls = time.perf_counter() + seconds, 0
            while calls < 3 or time.perf_counter() < end:
                start = time.perf_counter()
                multiply(a, b)
                wait()
                best = max(best, 2 * size**3 / (time.perf_counter() - start))
                calls += 1
    return best / 1e9


def memory_bandwidth(device: torch.device, size: int | None = None, calls: int = 10) -> float:
    """Measure the speed of a memory copy, reads and writes together; the best of several calls.

    Args:
        device: device to measure.
        size: bytes to copy; default more than any cache holds.
        calls: number of calls.

    Returns:
        GB/s (10^9 bytes per second).
    """
    size = size or (2**31 if device.type == "cuda" else 2**28)
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    wait = synchronizer(device)
    best = 0.0
    for _ in range(calls):
        wait()
        start = time.perf_counter()
        target.copy_(source)
        wait()
        best = max(best, 2 * source.nbytes / (time.perf_counter() - start))
    return best / 1e9


def _products(device: torch.device, dtype: torch.dtype) -> list[Callable[[Tensor, Tensor], Tensor]]:
    """Return the functions by which PyTorch can multiply two matrices on a device."""
    products: list[Callable[[Tensor, Tensor], Tensor]] = [torch.mm]
    if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():
        product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
        if product is not None:
            products.append(lambda a, b: product(a, b, None, "none", [], ""))
    return products


def _nothing() -> None:
    """Do nothing: a call on a CPU is complete when it returns."""


def _cpu_name() -> str:
    """Return the name of the processor. On Linux it comes from /proc/cpuinfo, because ``platform`` gives only the family."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    found = find_installed(package)
    if found is None:
        return "not installed"
    return found.version if found.distribution == package else f"{found.version} ({found.distribution})"
