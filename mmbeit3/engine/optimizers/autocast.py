"""An optimizer wrapper that trains in bfloat16 on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmbeit3.registry import OPTIM_WRAPPERS

__all__ = ["BFloat16OptimWrapper"]


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Run the forward pass under autocast to bfloat16, on CPUs as well. Weights and the optimizer stay in float32.

    MMEngine's ``AmpOptimWrapper`` refuses CPUs. bfloat16 has the range of float32, so the loss is not scaled. CPUs with
    instructions for bfloat16 (``avx512_bf16`` or ``amx_bf16`` in ``/proc/cpuinfo``) gain time; on others it may be slower
    than float32.

    Args:
        **kwargs: arguments of MMEngine's ``OptimWrapper``.
    """

    cast_dtype = torch.bfloat16
    """The dtype of matrix products; ``AmpOptimWrapper`` has this attribute, too."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run a forward pass under autocast on the device of the model's parameters."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=self.cast_dtype):
            yield
