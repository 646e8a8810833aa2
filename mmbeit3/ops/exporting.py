"""Whether a graph is being made that others will run, or count the operations of."""

from __future__ import annotations

import torch

__all__ = ["exporting", "fixed", "portable", "tracing"]


def exporting() -> bool:
    """Whether ``torch.export`` is tracing, also on behalf of ONNX.

    The graph must then hold for all sizes and be of PyTorch's own operators, which every runtime knows. Always False before
    PyTorch 2.7, which does not say.
    """
    return hasattr(torch.compiler, "is_exporting") and torch.compiler.is_exporting()


def tracing() -> bool:
    """Whether ``torch.jit.trace`` is at work, also for MMEngine, which counts the operations of a graph (``get_flops.py``).

    Everything must then be computed anew, and not depend on whether gradients are wanted.
    """
    # In this order, since compilers need not know the second.
    return not torch.compiler.is_compiling() and torch.jit.is_tracing()


def portable() -> bool:
    """Whether a graph is being made that must be of PyTorch's own operators."""
    return exporting() or tracing()


def fixed(height: int, width: int) -> tuple[int, int]:
    """A map's sides as numbers. ``torch.jit.trace`` has them as tensors, of which PyTorch makes no list of sizes.

    Its graph is then for images of one size, as its warning says; ``torch.export`` makes one for all.
    """
    return (int(height), int(width)) if tracing() else (height, width)
