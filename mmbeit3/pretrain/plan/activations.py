"""What one step of pretraining holds in memory and computes, found by running it on fake tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, cast

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mmbeit3.errors import UserError, one_line
from mmbeit3.models.beit3 import Tower
from mmbeit3.pretrain.plan.fake import KnownMasks, fake_inputs, fake_model
from mmbeit3.pretrain.plan.inputs import example_inputs, streams_of
from mmbeit3.pretrain.plan.tracker import Tracker
from mmbeit3.profiling.flops import count_flops

__all__ = ["autocast_dtype", "fake_pretrainer", "forward_backward", "set_checkpointing", "step_flops", "trace_memory"]


def autocast_dtype(cfg: Config) -> torch.dtype:
    """The type that a config's steps compute in: of ``AmpOptimWrapper``, else float32."""
    wrapper = cfg.get("optim_wrapper", {})
    if wrapper.get("type") != "AmpOptimWrapper":
        return torch.float32
    # MMEngine's default on GPUs is half precision.
    return cast(torch.dtype, getattr(torch, wrapper.get("dtype") or "float16"))


def fake_pretrainer(cfg: Config, mode: FakeTensorMode) -> Any:
    """Build a config's :class:`~mmbeit3.pretrain.BEiT3Pretrainer` of fake tensors.

    Raises:
        UserError: if the config is none of pretraining, or its model cannot be built.
    """
    import mmbeit3.registry  # noqa: F401  (a config alone need not have loaded it)

    streams_of(cfg)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmengine")):
        try:
            return fake_model(cfg.model, mode)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"the model cannot be built: {one_line(error)}") from error


def trace_memory(cfg: Config, with_cp: bool, text_length: int | None = None, gpu: bool = True) -> Tracker:
    """Follow the memory of a forward and a backward pass over the streams of one rank, on fake tensors.

    Attention is PyTorch's flash kernel of CPUs, which keeps what GPUs' kernels keep (flash, or the memory-efficient one where
    texts have a mask): q, k, v, the output and a number for each query. Work space inside kernels is not counted. Gradients of
    the word table, which several streams add to, are held once more than in truth: fake tensors are not added in place.

    Args:
        cfg: a pretraining config.
        with_cp: whether layers are recomputed in the backward pass.
        text_length: see :func:`~mmbeit3.pretrain.plan.inputs.example_inputs`.
        gpu: whether to compute layer norms in float32 under autocast, as it does on GPUs and not on CPUs.

    Returns:
        What was alive when; labels ``parameters`` (trained), ``frozen`` (the image tokenizer, and buffers), ``inputs``,
        ``copies`` (of weights, in autocast's type), ``gradients`` (of parameters) and ``activations`` (all else).

    Raises:
        UserError: see :func:`fake_pretrainer` and :func:`~mmbeit3.pretrain.plan.inputs.example_inputs`.
    """
    tracker = Tracker()
    with _fake_step(cfg, with_cp, text_length, gpu, tracker) as (model, step):
        step()
        trained = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        tracker.label(trained, "gradients")
    return tracker


def step_flops(cfg: Config, with_cp: bool, text_length: int | None = None) -> int:
    """Count a step's operations on one rank, a multiply-add as two: tokenizer, forward pass, recomputation, backward pass.

    Arguments and errors as in :func:`trace_memory`. Not counted in the same run, since PyTorch's counter keeps tensors alive.
    """
    with _fake_step(cfg, with_cp, text_length, gpu=True, tracker=None) as (_, step):
        return count_flops(step)[1]


@contextmanager
def _fake_step(
    cfg: Config, with_cp: bool, text_length: int | None, gpu: bool, tracker: Tracker | None
) -> Iterator[tuple[Any, Callable[[], None]]]:
    mode, masks = FakeTensorMode(), KnownMasks()
    model = fake_pretrainer(cfg, mode).train()
    set_checkpointing(model, with_cp)
    inputs = fake_inputs(example_inputs(cfg, model.network.arch, text_length), mode, masks)
    dtype = autocast_dtype(cfg)
    with ExitStack() as stack:
        if gpu and dtype != torch.float32:
            stack.enter_context(_norms_in_float32(model))
        stack.enter_context(mode)
        if tracker is not None:
            parameters = list(model.parameters())
            tracker.label((parameter for parameter in parameters if parameter.requires_grad), "parameters")
            tracker.label((parameter for parameter in parameters if not parameter.requires_grad), "frozen")
            tracker.label(model.buffers(), "frozen")
            tracker.label((tensor for stream in inputs.values() for tensor in stream.values()), "inputs")
            stack.enter_context(tracker)
        stack.enter_context(masks)
        yield model, partial(forward_backward, model, inputs, dtype)


def forward_backward(model: Any, inputs: Mapping[str, Mapping[str, Tensor]], dtype: torch.dtype) -> None:
    """Run both passes of a :class:`~mmbeit3.pretrain.BEiT3Pretrainer` as MMEngine does, under autocast to a type."""
    device = next(iter(next(iter(inputs.values())).values())).device.type
    with nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype):
        losses = model(inputs, mode="loss")
    model.parse_losses(losses)[0].backward()


def set_checkpointing(model: nn.Module, with_cp: bool) -> None:
    """Have the layers of all towers in a model recomputed in the backward pass, or not."""
    for tower in (module for module in model.modules() if isinstance(module, Tower)):
        tower.with_cp = with_cp


@contextmanager
def _norms_in_float32(model: nn.Module) -> Iterator[None]:
    def widen(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(tensor.float() for tensor in given)

    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    handles = [norm.register_forward_pre_hook(widen) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
