"""Whether a graph is being made that others will run."""

from __future__ import annotations

import torch

__all__ = ["exporting"]


def exporting() -> bool:
    """Whether ``torch.export`` is tracing, also on behalf of ONNX.

    The graph must then hold for all sizes and be of PyTorch's own operators, which every runtime knows. Always False before
    PyTorch 2.7, which does not say.
    """
    return hasattr(torch.compiler, "is_exporting") and torch.compiler.is_exporting()
