"""Detect tracing by ``torch.export`` and ``torch.jit.trace``."""

from __future__ import annotations

import torch

__all__ = ["exporting", "fixed", "portable", "tracing"]


def exporting() -> bool:
    """Return True while ``torch.export`` is tracing, also for ONNX.

    The graph must then be valid for all sizes and contain only PyTorch's own operators, which every runtime supports. Always
    False before PyTorch 2.7, which cannot report it.
    """
    return hasattr(torch.compiler, "is_exporting") and torch.compiler.is_exporting()


def tracing() -> bool:
    """Return True while ``torch.jit.trace`` is tracing, also for MMEngine's ``get_flops.py``.

    Cached tensors must not be used then, and the graph must not depend on whether gradients are enabled.
    """
    # Checked in this order, because torch.compile cannot trace the second call.
    return not torch.compiler.is_compiling() and torch.jit.is_tracing()


def portable() -> bool:
    """Return True while a graph is traced that must contain only PyTorch's own operators."""
    return exporting() or tracing()


def fixed(height: int, width: int) -> tuple[int, int]:
    """Return a map's sides as integers. ``torch.jit.trace`` passes them as tensors, which cannot be used as sizes.

    The traced graph is then valid for one image size only, and PyTorch warns about it. ``torch.export`` supports all sizes.
    """
    return (int(height), int(width)) if tracing() else (height, width)
