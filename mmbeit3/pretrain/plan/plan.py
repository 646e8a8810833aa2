"""Plan of pretraining on many GPUs: memory of a rank, operations, and traffic between ranks, computed without a GPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmengine.config import Config
from torch._subclasses.fake_tensor import FakeTensorMode

from mmbeit3.errors import UserError
from mmbeit3.pretrain.plan.activations import autocast_dtype, fake_pretrainer, step_flops, trace_memory
from mmbeit3.pretrain.plan.inputs import example_inputs, streams_of
from mmbeit3.pretrain.plan.optimizer import MASTER_BYTES, optimizer_bytes
from mmbeit3.pretrain.plan.tracker import Tracker
from mmbeit3.pretrain.plan.weights import Weights, weights_of

__all__ = ["Memory", "Plan", "Traffic", "make_plan", "with_global_batch"]


@dataclass(frozen=True)
class Memory:
    """Memory of one rank in bytes.

    Attributes:
        name: type of distribution.
        parameters: the rank's shard of the trained weights, and all frozen weights (the image tokenizer).
        gradients: the rank's shard of the gradients.
        optimizer: the rank's shard of the optimizer state.
        activations: peak of everything else in forward and backward pass, inputs and half-precision weights included.
        exchange: communication buffers: DDP's gradient buckets, or other ranks' shards that FSDP gathered.
        total: peak over time. It is below the sum of the others if activations are freed before gradients exist, and above it
            if the peak is in the optimizer's step, which needs work space.
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
    """Traffic of each rank in a step, in bytes.

    Attributes:
        name: type of distribution, and number of passes.
        gathered: bytes of weights received.
        reduced: bytes of gradients sent.
    """

    name: str
    gathered: int
    reduced: int


@dataclass(frozen=True)
class Plan:
    """Memory, operations and traffic of a config's training.

    Attributes:
        gpus: number of ranks.
        batches: number of records of each stream per step and rank.
        text_length: number of tokens of each text; None for the largest that the config allows.
        trained, frozen: numbers of weights.
        dtype: dtype of the computation.
        gather_dtype: dtype in which FSDP gathers weights.
        memory: memory of a rank by type of distribution.
        flops: floating-point operations of a step on a rank, without and with recomputation.
        traffic: traffic of a rank by type of distribution.
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
    """Set the batch of each of a config's streams so that all ranks together have ``batch`` records per step.

    Raises:
        UserError: if ``batch`` is not a positive multiple of ``gpus``.
    """
    streams_of(cfg)
    if batch < 1 or batch % gpus:
        raise UserError(f"a global batch of {batch} cannot be split evenly between {gpus} GPUs: give a multiple of {gpus}")
    for stream in cfg.train_dataloader.dataset.streams.values():
        stream.batch = batch // gpus


def make_plan(cfg: Config, gpus: int, text_length: int | None = None, gather_dtype: torch.dtype | None = None) -> Plan:
    """Plan a config's training.

    Args:
        cfg: a pretraining config; its batches are those of one rank.
        gpus: number of ranks.
        text_length: number of tokens of every text; by default the largest that the config allows.
        gather_dtype: dtype in which FSDP gathers weights; by default ``param_dtype`` of the config's strategy, or float32
            without it. If it is not the dtype of the computation, autocast's copies of weights are added. Gradients are
            reduced in float32.

    Raises:
        UserError: if the config is not a pretraining config, its model cannot be built, or ``gpus`` is below 1.
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


def _ddp(name: str, tracker: Tracker, weights: Weights, states: float, work: int) -> Memory:
    """Compute the memory of a rank under DDP, which replicates all weights. ``work`` is the optimizer's work space in bytes."""
    trained = MASTER_BYTES * weights.numel()
    frozen, held = _frozen(tracker), round(trained * states)
    # DDP's buckets are as large as the gradients and exist in addition.
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
    """Compute the memory of a rank under FSDP2, which shards weights, gradients and optimizer state over all ranks."""
    shard = MASTER_BYTES * weights.numel(gpus) // gpus
    frozen, held = _frozen(tracker), round(shard * states)
    without = {"parameters": 0.0, "frozen": 0.0}
    if gather == dtype:
        # The gathered weights are used directly, without autocast's copies.
        without["copies"] = 0.0
    # At the peak FSDP2 holds the root, the unit in use and the prefetched next one; also gradients of the root and of one unit,
    # which are copied into a contiguous buffer in float32 before they are reduced.
    root, largest = weights.root.numel(gpus), [unit.numel(gpus) for unit in weights.largest(2)]
    exchange = (2 * root + sum(largest) + largest[0]) * gather.itemsize + largest[0] * MASTER_BYTES
    passes = tracker.peak({**without, "gradients": shard / (MASTER_BYTES * weights.numel())}).total
    return Memory(
        name,
        parameters=shard + frozen,
        gradients=shard,
        optimizer=held,
        activations=tracker.peak({**without, "gradients": 0}).total,
        exchange=exchange,
        total=max(passes + shard + frozen + held + exchange, 2 * shard + frozen + held + work // gpus),
    )


def _frozen(tracker: Tracker) -> int:
    return tracker.peak().parts["frozen"]


def _traffic(weights: Weights, streams: list[str], gpus: int, gather: torch.dtype) -> list[Traffic]:
    """Compute traffic under DDP (ring all-reduce of gradients) and FSDP, with all streams in one pass or in a pass each."""
    one, each = [streams], [[name] for name in streams]
    found = [Traffic("DDP", 0, 2 * MASTER_BYTES * weights.numel() * (gpus - 1) // gpus)]
    for passes, how in ((one, "one pass"), (each, f"{len(streams)} passes")):
        gathered = weights.gathered(gpus, passes) * gather.itemsize
        found.append(Traffic(f"FSDP, {how}", gathered, weights.reduced(gpus, passes) * MASTER_BYTES))
    return found
