"""Training in bfloat16 on GPUs and CPUs. MMEngine's ``AmpOptimWrapper`` refuses CPUs."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import nn

from mmbeit3.registry import OPTIM_WRAPPERS

__all__ = ["BFloat16OptimWrapper", "multiplies_bfloat16"]


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return True if a device multiplies matrices in bfloat16 faster than in float32.

    On x86 these are CPUs with AVX512-BF16 or AMX: AMD since Zen 4, Intel's servers since Cooper Lake. Others emulate it slowly.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Run the forward pass under autocast to bfloat16, on GPUs and on CPUs. Weights and the optimizer stay in float32.

    No loss scaling is needed, as bfloat16 has the range of float32. On a device without fast bfloat16, training runs in
    float32, and the log says so.

    Args:
        **kwargs: arguments of MMEngine's ``OptimWrapper``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device = self.optimizer.param_groups[0]["params"][0].device
        fast = multiplies_bfloat16(self.device)
        self.cast_dtype = torch.bfloat16 if fast else torch.float32
        if not fast:
            print_log(f"training runs in float32: bfloat16 is not fast on this device ({self.device.type})", logger="current")

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter autocast, and the context of gradient accumulation."""
        with super().optim_context(model), torch.autocast(self.device.type, torch.bfloat16, self.cast_dtype == torch.bfloat16):
            yield
