"""Checks whether Triton's kernels can run, and sizes of their launches."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

import torch

__all__ = ["HAS_TRITON", "interpreted", "num_multiprocessors", "unavailable"]

HAS_TRITON = importlib.util.find_spec("triton") is not None


def interpreted(kernel: object) -> bool:
    """Return True if a decorated kernel runs in Triton's interpreter.

    Triton reads ``TRITON_INTERPRET`` when it decorates a kernel; later changes have no effect.
    """
    import triton

    return not isinstance(kernel, triton.JITFunction)


def unavailable(device: torch.device) -> str | None:
    """Return in one line why compiled Triton kernels cannot run on a device, or None if they can."""
    if not HAS_TRITON:
        return "triton is not installed"
    if device.type != "cuda":
        return f"the Triton kernels run on CUDA devices, not on {device.type}"
    return _unbuildable()


@functools.lru_cache(maxsize=1)
def _unbuildable() -> str | None:
    # Checked in advance, because Triton fails only at the first launch.
    if os.name != "posix":
        return None
    if not any(map(shutil.which, [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"])):
        return "Triton needs a C compiler (gcc, clang or the value of CC), and none is installed"
    # Debian's default scheme names a folder without the headers.
    header = Path(sysconfig.get_path("include", "posix_prefix"), "Python.h")
    return None if header.is_file() else f"Triton needs Python's C headers, but {header} is missing"


@functools.cache
def num_multiprocessors(device: torch.device) -> int:
    """Return the number of a GPU's multiprocessors, or 1 for other devices, on which kernels are interpreted."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
