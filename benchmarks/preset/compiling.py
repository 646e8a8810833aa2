"""Compilation of the ViT-Adapter's blocks: duration of the first training step, and recompilations for other image sizes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from benchmarks import networks
from benchmarks.cases import compare
from benchmarks.limits import TimeLimit
from benchmarks.preset.context import Context, Output
from benchmarks.preset.figures import Figure
from mmbeit3.profiling.machine import synchronizer

__all__ = ["COMPILE_GOALS", "compile_step"]

_WORK = "torch.compile of the training step, ViT-Adapter large 896², batch 2"
_SIDES = (512, 576, 640, 704, 768, 512)
_PATIENCE = 45.0

COMPILE_GOALS = [
    Figure(_WORK, "first step", None, "s", "≤", 20.0),
    Figure(_WORK, "recompilations over sides " + ", ".join(str(side) for side in _SIDES), None, "", "≤", 3),
]


def compile_step(context: Context) -> Iterator[Output]:
    """Measure the first step, then steps over other sizes."""
    from torch._dynamo.utils import counters

    quick = context.settings.quick
    settings = context.sized(arch="large", adapter_sides=(896,), batch=2)
    (side,), device = settings.adapter_sides, settings.device
    sides = (64, 96, 64) if quick else _SIDES
    wait = synchronizer(torch.device(device))
    eager = networks.adapter(settings.sizes, side, device=device)
    network = networks.adapter(settings.sizes, side, device=device)
    network = network.compiled(by_block=True, backend="aot_eager" if quick else "inductor")

    def step(side: int) -> float:
        inputs = {"image": networks.make_image(side, device, settings.batch)}
        run = networks.train_step(network, inputs, settings, "bfloat16")
        wait()
        start = time.perf_counter()
        run()
        wait()
        return time.perf_counter() - start

    inputs = {"image": networks.make_image(side, device, settings.batch)}
    expected = networks.train_step(eager, inputs, settings, "bfloat16")()
    torch.compiler.reset()
    counters.clear()
    with TimeLimit(_PATIENCE) as limit:
        seconds = step(side)
    first, recompilations = COMPILE_GOALS
    if limit.expired:
        yield _measured(first, None, f"not done after {_PATIENCE:g} s: missed")
        yield _measured(recompilations, None, "the first step was not done")
        return
    found = compare(expected, networks.train_step(network, inputs, settings, "bfloat16")())
    yield _measured(
        first, seconds, f"features and gradient differ from eager by {found.outputs:.2g} and {found.gradients or 0:.2g}"
    )
    graphs = counters["stats"]["unique_graphs"]
    steps = [step(other) for other in sides]
    more = counters["stats"]["unique_graphs"] - graphs
    yield _measured(recompilations, more, "seconds per step: " + ", ".join(f"{seconds:.2g}" for seconds in steps))


def _measured(goal: Figure, value: float | None, note: str) -> Figure:
    return Figure(**{**vars(goal), "value": value, "note": note})
