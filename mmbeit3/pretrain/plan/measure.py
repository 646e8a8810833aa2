"""A real step beside what was predicted of it, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch.autograd.profiler import profile

from mmbeit3.pretrain.plan.activations import autocast_dtype, forward_backward, set_checkpointing, trace_memory
from mmbeit3.pretrain.plan.inputs import example_inputs

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """Bytes that a step's two passes take on top of weights, optimizer and inputs, without distribution.

    Attributes:
        predicted: from fake tensors.
        measured: by PyTorch's allocators, what kernels allocate for themselves included. The process is larger by libraries,
            and on CPUs by what the C library keeps.
        held: bytes of weights, optimizer's state and inputs, the same for both.
    """

    predicted: int
    measured: int
    held: int

    @property
    def deviation(self) -> float:
        """How far the predicted peak is from the measured one, of which it is a fraction."""
        return (self.predicted - self.measured) / (self.held + self.measured)


def compare(cfg: Config, with_cp: bool, device: str, text_length: int | None = None) -> Comparison:
    """Predict a step and run it, the second one, as the first makes the optimizer's state.

    Args:
        cfg: a pretraining config.
        with_cp: whether layers are recomputed.
        device: ``'cpu'`` or ``'cuda'``.
        text_length: tokens of every text.

    Raises:
        UserError: see :func:`~mmbeit3.pretrain.plan.activations.trace_memory`.
    """
    trace = trace_memory(cfg, with_cp, text_length, gpu=device == "cuda")
    held = {name: trace.peak().parts[name] for name in ("parameters", "frozen", "inputs")}
    model = MODELS.build(cfg.model).to(device).train()
    set_checkpointing(model, with_cp)
    arch, dtype = model.network.arch, autocast_dtype(cfg)
    inputs = {
        name: {key: tensor.to(device) for key, tensor in stream.items()}
        for name, stream in example_inputs(cfg, arch, text_length).items()
    }
    wrapper = {key: value for key, value in cfg.optim_wrapper.items() if key not in ("dtype", "loss_scale", "use_fp16")}
    optimizer = build_optim_wrapper(model, {**wrapper, "type": "OptimWrapper"}).optimizer
    forward_backward(model, inputs, dtype)
    optimizer.step()
    optimizer.zero_grad()
    states = sum(value.nbytes for state in optimizer.state.values() for value in state.values())

    step = partial(forward_backward, model, inputs, dtype)
    measured = _allocated_on_gpu(step) if device == "cuda" else _allocated_on_cpu(step)
    return Comparison(trace.peak().total - sum(held.values()), measured, sum(held.values()) + states)


def _allocated_on_gpu(step: Callable[[], None]) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return torch.cuda.max_memory_allocated() - before


def _allocated_on_cpu(step: Callable[[], None]) -> int:
    """The most that a step's allocations exceed its releases by, from the profiler's record of each of them."""
    with profile(profile_memory=True) as profiler:
        step()
    results: Any = profiler.kineto_results
    changes = [event.nbytes() for event in results.events() if event.name() == "[memory]"]
    return max(accumulate(changes), default=0)
