"""Output of a plan as tables in the terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from mmbeit3.files import write_atomically
from mmbeit3.markdown import three_digits
from mmbeit3.pretrain.plan.plan import Plan

__all__ = ["print_plan", "write_plan"]

_MEMORY = ("weights", "gradients", "optimizer", "activations", "exchange", "peak")


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan as JSON with sizes in bytes; missing folders are created."""
    write_atomically(path, (json.dumps(asdict(plan), indent=1) + "\n").encode())


def print_plan(plan: Plan, console: Console | None = None) -> None:
    """Print memory, operations, traffic and assumptions of a plan.

    Args:
        plan: the plan.
        console: console to print to; the terminal by default.
    """
    console = console or Console()
    batches = " + ".join(f"{batch} {name}" for name, batch in plan.batches.items())
    table = _table(f"GiB on each of {plan.gpus} GPUs, {batches} per step on each", _MEMORY)
    for row in plan.memory:
        sizes = (row.parameters, row.gradients, row.optimizer, row.activations, row.exchange, row.total)
        table.add_row(row.name, *(f"{size / 2**30:.2f}" for size in sizes))
    console.print(table)
    table = _table("GB per step, each GPU", ("weights received", "gradients sent"))
    for way in plan.traffic:
        table.add_row(way.name, three_digits(way.gathered / 1e9), three_digits(way.reduced / 1e9))
    console.print(table)
    for line in _sentences(plan):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(title: str, columns: Sequence[str]) -> Table:
    # Narrow enough for 80 columns.
    style: Any = {"box": box.SIMPLE_HEAD, "pad_edge": False, "collapse_padding": True}
    table = Table(title=title, title_justify="left", title_style="bold", **style)
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _sentences(plan: Plan) -> list[str]:
    plain, recomputed = (flops / 1e12 for flops in plan.flops)
    total = [three_digits(flops * plan.gpus) for flops in (plain, recomputed)]
    length = "of the largest length" if plan.text_length is None else f"of {plan.text_length} tokens"
    half = f"{plan.dtype} by autocast with layer norms in float32" if plan.dtype != "float32" else plan.dtype
    return [
        f"{plan.trained / 1e6:.1f} M trained weights, {plan.frozen / 1e6:.1f} M frozen.",
        f"TFLOP per step: {three_digits(plain)} on each GPU, {total[0]} on all; "
        f"with_cp {three_digits(recomputed)} and {total[1]}. "
        "The tokenizer is included, element-wise operations are not.",
        "Peak is the largest sum at any time: below the sum of the columns if activations are freed before gradients exist, "
        "above it if the optimizer's step needs work space.",
        f"Assumed: texts {length}; computation in {half}; flash attention; weights, gradients and optimizer in float32; DDP "
        f"with separate buckets; FSDP2 over all GPUs, gathering in {plan.gather_dtype} and reducing in float32, with the whole "
        "tokenizer on each GPU. Not counted: CUDA context, work space inside kernels, fragmentation.",
    ]
