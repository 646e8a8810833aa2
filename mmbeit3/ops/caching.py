"""A cache for tensors that depend on sizes alone, such as the positions of a map's cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import torch

from mmbeit3.ops.exporting import tracing

__all__ = ["cached_constant"]

T = TypeVar("T")


def cached_constant(compute: Callable[..., T]) -> Callable[..., T]:
    """Decorate a function of hashable arguments that makes tensors: results of the last few calls are cached.

    Callers must not write to the tensors. Graphs that are compiled or traced compute them anew.
    """
    cached = lru_cache(maxsize=32)(compute)

    @wraps(compute)
    def call(*args: Any) -> T:
        if torch.compiler.is_compiling() or tracing():
            return compute(*args)
        # A cached inference tensor could not be used outside of inference mode.
        with torch.inference_mode(False), torch.no_grad():
            return cached(*args)

    return call
