"""Measurement of a real step, for comparison with the prediction from fake tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch.autograd.profiler import profile

from mmbeit3.pretrain.plan.activations import autocast_dtype, forward_backward, set_checkpointing, trace_memory
from mmbeit3.pretrain.plan.inputs import example_inputs
from mmbeit3.pretrain.plan.optimizer import build_optimizer

__all__ = ["StepMeasurement", "measure_step"]


@dataclass(frozen=True)
class StepMeasurement:
    """Memory of a step's forward and backward pass in one process, in bytes.

    Attributes:
        predicted: prediction from fake tensors, on top of ``held``.
        measured: memory from PyTorch's allocators on top of ``held``, work space of kernels included. The process is larger by
            its libraries, and on CPUs by memory that the C library keeps.
        held: weights, optimizer state and inputs, the same for both.
    """

    predicted: int
    measured: int
    held: int

    @property
    def deviation(self) -> float:
        """Difference between predicted and measured peak as a fraction of the measured peak, ``held`` included."""
        return (self.predicted - self.measured) / (self.held + self.measured)


def measure_step(cfg: Config, with_cp: bool, device: str, text_length: int | None = None) -> StepMeasurement:
    """Predict the memory of a step and measure it by running the step.

    The second step is measured, since the first one creates the optimizer state.

    Args:
        cfg: a pretraining config.
        with_cp: True to recompute layers in the backward pass.
        device: ``'cpu'`` or ``'cuda'``.
        text_length: number of tokens of every text; by default the largest.

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
    optimizer = build_optimizer(cfg, model)
    forward_backward(model, inputs, dtype)
    optimizer.step()
    optimizer.zero_grad()
    states = sum(value.nbytes for state in optimizer.state.values() for value in state.values())

    step = partial(forward_backward, model, inputs, dtype)
    measured = _allocated_on_gpu(step) if device == "cuda" else _allocated_on_cpu(step)
    return StepMeasurement(trace.peak().total - sum(held.values()), measured, sum(held.values()) + states)


def _allocated_on_gpu(step: Callable[[], None]) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return torch.cuda.max_memory_allocated() - before


def _allocated_on_cpu(step: Callable[[], None]) -> int:
    """Return a step's peak memory: the largest running sum of allocations and releases in the profiler's record."""
    with profile(profile_memory=True) as profiler:
        step()
    results: Any = profiler.kineto_results
    changes = [event.nbytes() for event in results.events() if event.name() == "[memory]"]
    return max(accumulate(changes), default=0)
