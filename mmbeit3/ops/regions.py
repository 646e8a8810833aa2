"""Regions of a network that ``torch.compile`` compiles: one block's token-wise work, not the whole network.

All layers run the same code with weights of the same shapes, so a region is compiled once for all layers, and the whole network
in seconds. Attention's inputs, loops over layers and heads stay outside: they depend on Python numbers that change with the
image, and would be compiled again for each size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn

from mmbeit3.ops.exporting import portable

__all__ = ["call_module", "region", "switches"]


def region(function: Callable[..., Any], compile_blocks: bool) -> Callable[..., Any]:
    """Return a function, compiled if asked for.

    Compilation happens at the first call, for images of all sizes.

    Args:
        function: a function of a module and tensors, defined once: a lambda or closure would be compiled at each use.
        compile_blocks: True to compile. Ignored while an outer graph is compiled or exported: it contains the function.
    """
    if not compile_blocks or portable() or torch.compiler.is_compiling():
        return function
    return _compiled(function)


def call_module(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Call a module; as a region, all modules of a class share the compiled code."""
    return module(*args, **kwargs)


def switches(model: nn.Module) -> list[Any]:
    """List the modules of a model that have the switch ``compile_blocks``."""
    return [module for module in model.modules() if hasattr(module, "compile_blocks")]


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    # Dynamic from the start: else the second image size would compile everything again.
    return torch.compile(function, dynamic=True)
