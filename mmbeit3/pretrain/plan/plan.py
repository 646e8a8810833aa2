"""What pretraining needs on a cluster: memory of each rank, operations, and bytes between ranks, without a GPU at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Adam, AdamW, Optimizer

from mmbeit3.errors import UserError
from mmbeit3.pretrain.plan.activations import autocast_dtype, fake_pretrainer, step_flops, trace_memory
from mmbeit3.pretrain.plan.inputs import example_inputs, streams_of
from mmbeit3.pretrain.plan.tracker import Tracker
from mmbeit3.pretrain.plan.weights import Weights, weights_of

__all__ = ["Memory", "Plan", "Traffic", "make_plan", "optimizer_bytes", "with_global_batch"]

_MASTER = 4
"""Bytes of an element of weights, gradients and optimizer: float32."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank.

    Attributes:
        name: how it is distributed.
        parameters: the rank's share of what is trained, and all of what is frozen (the image tokenizer).
        gradients: the rank's share.
        optimizer: the rank's share.
        activations: the most that forward and backward pass hold besides, inputs and half-precision weights included.
        exchange: DDP's buckets of gradients; what FSDP holds of other ranks' shares.
        total: the most at any time. Less than the sum of the others where activations are gone when gradients come; more where
            the optimizer's step, which needs room of its own, is the time of most.
    """

    name: str
    parameters: int
    gradients: int
    optimizer: int
    activations: int
    exchange: int
    total: int


@dataclass(frozen=True)
class Traffic:
    """Bytes that each rank receives in a step (gathering) and sends in it (reducing).

    Attributes:
        name: how it is distributed, and in how many passes.
        gathered: weights.
        reduced: gradients.
    """

    name: str
    gathered: int
    reduced: int


@dataclass(frozen=True)
class Plan:
    """The answers.

    Attributes:
        gpus: number of ranks.
        batches: records of each stream on a rank.
        text_length: tokens of each text; None for the config's longest.
        trained, frozen: elements of weights.
        dtype: what is computed in.
        gather_dtype: what FSDP gathers.
        memory: by distribution.
        flops: a step's operations on a rank, without and with recomputation.
        traffic: by distribution.
    """

    gpus: int
    batches: dict[str, int]
    text_length: int | None
    trained: int
    frozen: int
    dtype: str
    gather_dtype: str
    memory: list[Memory]
    flops: tuple[int, int]
    traffic: list[Traffic]


def with_global_batch(cfg: Config, batch: int, gpus: int) -> None:
    """Change a config's streams so that ranks together have this many records of each in a step.

    Raises:
        UserError: if ranks cannot share them evenly.
    """
    streams_of(cfg)
    if batch < 1 or batch % gpus:
        raise UserError(f"a batch of {batch} cannot be shared by {gpus} GPUs: give a multiple of {gpus}")
    for stream in cfg.train_dataloader.dataset.streams.values():
        stream.batch = batch // gpus


def make_plan(cfg: Config, gpus: int, text_length: int | None = None, gather_dtype: torch.dtype | None = None) -> Plan:
    """Plan a config's training.

    Args:
        cfg: a pretraining config; its batches are those of one rank.
        gpus: number of ranks.
        text_length: tokens of every text; by default the longest.
        gather_dtype: type that FSDP gathers weights in; by default ``param_dtype`` of the config's strategy, else float32.
            Where it is not the type that is computed in, autocast's copies of weights are added. Gradients are reduced in
            float32.

    Raises:
        UserError: if the config is none of pretraining, cannot be built, or there are no GPUs.
    """
    if gpus < 1:
        raise UserError(f"{gpus} GPUs: give at least one")
    model = fake_pretrainer(cfg, FakeTensorMode())
    weights = weights_of(model.network, example_inputs(cfg, model.network.arch, text_length))
    frozen = sum(t.numel() for t in [*model.parameters(), *model.buffers()]) - weights.numel()
    states, work = optimizer_bytes(cfg, model)
    dtype = autocast_dtype(cfg)
    gather = gather_dtype or getattr(torch, (cfg.get("strategy") or {}).get("param_dtype") or "float32")
    memory = []
    for with_cp in (False, True):
        tracker = trace_memory(cfg, with_cp, text_length)
        suffix = ", with_cp" if with_cp else ""
        memory.append(_ddp(f"DDP{suffix}", tracker, weights, states, work))
        memory.append(_fsdp(f"FSDP{suffix}", tracker, weights, states, work, gpus, dtype, gather))
    streams = streams_of(cfg)
    return Plan(
        gpus=gpus,
        batches={name: int(stream["batch"]) for name, stream in streams.items()},
        text_length=text_length,
        trained=weights.numel(),
        frozen=frozen,
        dtype=str(dtype).removeprefix("torch."),
        gather_dtype=str(gather).removeprefix("torch."),
        memory=sorted(memory, key=lambda row: row.name.startswith("FSDP")),
        flops=(step_flops(cfg, False, text_length), step_flops(cfg, True, text_length)),
        traffic=_traffic(weights, list(streams), gpus, gather),
    )


def optimizer_bytes(cfg: Config, model: Any) -> tuple[float, int]:
    """Bytes of an optimizer's state for each byte of weights, and its step's work space in bytes.

    Adam's many-tensor step on GPUs makes one temporary tensor for each of a group of parameters; the fused one makes none.

    Raises:
        UserError: for an optimizer other than Adam and AdamW.
    """
    wrapper = {key: value for key, value in cfg.optim_wrapper.items() if key not in ("dtype", "loss_scale", "use_fp16")}
    optimizer: Optimizer = build_optim_wrapper(model, {**wrapper, "type": "OptimWrapper"}).optimizer
    if not isinstance(optimizer, Adam | AdamW):
        raise UserError(f"optimizer {type(optimizer).__name__}: plan knows the memory of Adam and AdamW alone")
    amsgrad, fused = optimizer.defaults["amsgrad"], optimizer.defaults["fused"]
    groups = [sum(parameter.numel() for parameter in group["params"]) for group in optimizer.param_groups]
    return 3 if amsgrad else 2, 0 if fused else _MASTER * max(groups)


def _ddp(name: str, tracker: Tracker, weights: Weights, states: float, work: int) -> Memory:
    trained = _MASTER * weights.numel()
    frozen, held = _frozen(tracker), round(trained * states)
    passes = tracker.peak().total + held + trained
    return Memory(
        name,
        parameters=trained + frozen,
        gradients=trained,
        optimizer=held,
        activations=tracker.peak({"parameters": 0, "frozen": 0, "gradients": 0}).total,
        exchange=trained,
        total=max(passes, 3 * trained + frozen + held + work),
    )


def _fsdp(
    name: str,
    tracker: Tracker,
    weights: Weights,
    states: float,
    work: int,
    gpus: int,
    dtype: torch.dtype,
    gather: torch.dtype,
) -> Memory:
    share = _MASTER * weights.numel(gpus) // gpus
    frozen, held = _frozen(tracker), round(share * states)
    without = {"parameters": 0.0, "frozen": 0.0}
    if gather == dtype:
        # What is gathered is what is computed with.
        without["copies"] = 0.0
    # One unit in use and the next on its way, and the root all the time; then gradients of the root and of one unit, which are
    # laid out anew to be reduced.
    root, largest = weights.root.numel(gpus), [unit.numel(gpus) for unit in weights.largest(2)]
    exchange = (2 * root + sum(largest) + largest[0]) * gather.itemsize + largest[0] * _MASTER
    passes = tracker.peak({**without, "gradients": share / (_MASTER * weights.numel())}).total
    return Memory(
        name,
        parameters=share + frozen,
        gradients=share,
        optimizer=held,
        activations=tracker.peak({**without, "gradients": 0}).total,
        exchange=exchange,
        total=max(passes + share + frozen + held + exchange, 2 * share + frozen + held + work // gpus),
    )


def _frozen(tracker: Tracker) -> int:
    return tracker.peak().parts["frozen"]


def _traffic(weights: Weights, streams: list[str], gpus: int, gather: torch.dtype) -> list[Traffic]:
    one, each = [streams], [[name] for name in streams]
    found = [Traffic("DDP", 0, 2 * _MASTER * weights.numel() * (gpus - 1) // gpus)]
    for passes, how in ((one, "one pass"), (each, f"{len(streams)} passes")):
        gathered = weights.gathered(gpus, passes) * gather.itemsize
        found.append(Traffic(f"FSDP, {how}", gathered, weights.reduced(gpus, passes) * _MASTER))
    return found
