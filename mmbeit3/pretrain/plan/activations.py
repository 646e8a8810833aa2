"""Memory and operations of one pretraining step, measured by running it on fake tensors."""

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
    """Return the dtype of a config's forward pass on a GPU: float32 without ``AmpOptimWrapper`` or ``BFloat16OptimWrapper``."""
    wrapper = cfg.get("optim_wrapper", {})
    kind = str(wrapper.get("type")).rpartition(".")[2]
    if kind == "BFloat16OptimWrapper":
        return torch.bfloat16
    if kind != "AmpOptimWrapper":
        return torch.float32
    # MMEngine's default on GPUs is float16.
    return cast(torch.dtype, getattr(torch, wrapper.get("dtype") or "float16"))


def fake_pretrainer(cfg: Config, mode: FakeTensorMode) -> Any:
    """Build a config's :class:`~mmbeit3.pretrain.pretrainer.BEiT3Pretrainer` with fake tensors as weights.

    Raises:
        UserError: if the config is not a pretraining config, or its model cannot be built.
    """
    import mmbeit3.registry  # noqa: F401  (registers the model; a config does not import it)

    streams_of(cfg)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmengine")):
        try:
            return fake_model(cfg.model, mode)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"the model cannot be built: {one_line(error)}: check model in the config") from error


def trace_memory(cfg: Config, with_cp: bool, text_length: int | None = None, gpu: bool = True) -> Tracker:
    """Track the memory of a forward and a backward pass over the streams of one rank, on fake tensors.

    Attention uses PyTorch's flash kernel for CPUs. It keeps the same tensors as the kernels for GPUs (flash, or
    memory-efficient attention for texts with a mask): q, k, v, the output and one number per query. Work space inside kernels
    is not counted.
    The gradient of the word embedding, to which several streams add, is counted once too often: fake tensors are not added in
    place.

    Args:
        cfg: a pretraining config.
        with_cp: True to recompute layers in the backward pass.
        text_length: see :func:`~mmbeit3.pretrain.plan.inputs.example_inputs`.
        gpu: True to run layer norms in float32 under autocast, as on GPUs; autocast on CPUs does not.

    Returns:
        The tracker, with the labels ``parameters`` (trained), ``frozen`` (the image tokenizer and buffers), ``inputs``,
        ``copies`` (of weights in autocast's dtype), ``gradients`` (of parameters) and ``activations`` (everything else).

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
    """Count the floating-point operations of a step on one rank; a multiply-add counts as two.

    Image tokenizer, forward pass, recomputation and backward pass are included. Arguments and errors are those of
    :func:`trace_memory`. This needs a separate run, since PyTorch's counter keeps tensors alive.
    """
    with _fake_step(cfg, with_cp, text_length, gpu=True, tracker=None) as (_, step):
        return count_flops(step)[1]


@contextmanager
def _fake_step(
    cfg: Config, with_cp: bool, text_length: int | None, gpu: bool, tracker: Tracker | None
) -> Iterator[tuple[Any, Callable[[], None]]]:
    """Give a fake model and a function that runs a step on it; ``tracker`` follows the memory inside the context."""
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
        # The last mode entered handles an operator first: masks are replaced before the tracker sees the operator.
        stack.enter_context(masks)
        yield model, partial(forward_backward, model, inputs, dtype)


def forward_backward(model: Any, inputs: Mapping[str, Mapping[str, Tensor]], dtype: torch.dtype) -> None:
    """Run forward and backward pass of a BEiT3Pretrainer as MMEngine does, under autocast if ``dtype`` is not float32."""
    device = next(iter(next(iter(inputs.values())).values())).device.type
    with nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype):
        losses = model(inputs, mode="loss")
    model.parse_losses(losses)[0].backward()


def set_checkpointing(model: nn.Module, with_cp: bool) -> None:
    """Turn recomputation of layers in the backward pass on or off for all towers of a model."""
    for tower in (module for module in model.modules() if isinstance(module, Tower)):
        tower.with_cp = with_cp


@contextmanager
def _norms_in_float32(model: nn.Module) -> Iterator[None]:
    """Run the layer norms of a model in float32 inside the context."""

    def widen(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(tensor.float() for tensor in inputs)

    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    handles = [norm.register_forward_pre_hook(widen) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
