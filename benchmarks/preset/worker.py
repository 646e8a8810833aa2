"""Main program of the process that runs the parts of the preset: ``python -m benchmarks.preset.worker TASK``.

TASK is JSON with the settings, the names of the parts, the output folder and the time at which all must be done. Before each
part the process writes ``parts/running.json``, after it ``parts/NAME.json``.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from rich.console import Console

from benchmarks.cases import Unavailable
from benchmarks.limits import TimeLimit
from benchmarks.preset.context import Context, Part
from benchmarks.preset.figures import Figure
from benchmarks.preset.parts import PARTS
from benchmarks.results import print_table
from benchmarks.rows import Row
from benchmarks.settings import Settings
from mmbeit3.files import write_atomically

__all__ = ["BROKEN", "main", "run_part"]

_WIDTH = 150
"""Columns of the tables; a log has no terminal whose width could be used."""

BROKEN = 3
"""Exit status after an error that makes the GPU unusable for this process."""


def main() -> None:
    """Run the parts that the task names."""
    # The models of mmdet and mmseg log each weight that they initialise.
    MMLogger.get_current_instance().setLevel("WARNING")
    task = json.loads(sys.argv[1])
    settings = Settings.from_dict(task["settings"])
    torch.set_num_threads(settings.threads)
    context = Context(settings)
    folder = Path(task["out"]) / "parts"
    for name in task["parts"]:
        left = task["deadline"] - time.time()
        if left <= 0:
            return
        seconds = min(PARTS[name].seconds, left)
        running = {"part": name, "since": time.time(), "seconds": seconds}
        write_atomically(folder / "running.json", json.dumps(running).encode())
        result = run_part(PARTS[name], context, seconds)
        result["peaks"] = {row["dtype"]: context.limits.peak(row["dtype"]) for row in result["rows"] if row["median_ms"]}
        write_atomically(folder / f"{name}.json", json.dumps(result, ensure_ascii=False).encode())
        if not _usable(settings.device):
            sys.exit(BROKEN)


def run_part(part: Part, context: Context, seconds: float) -> dict[str, Any]:
    """Run a part; print its rows and figures as they come.

    Args:
        part: the part.
        context: settings and limits.
        seconds: soft limit; rows and figures that are there when it ends are kept.

    Returns:
        A dict that JSON can hold, with rows, figures, seconds and a note. Goals without a figure are reported as not measured.
    """
    rows: list[Row] = []
    figures: list[Figure] = []
    note = ""
    start = time.perf_counter()
    print(f"\n{part.name}", flush=True)
    limit = TimeLimit(seconds)
    try:
        with limit:
            for output in part.run(context):
                if isinstance(output, Figure):
                    figures.append(output)
                    print(f"  {output}", flush=True)
                elif output:
                    rows += output
                    print_table(output, Console(width=_WIDTH))
                    sys.stdout.flush()
    except Unavailable as reason:
        note = str(reason)
    except Exception as error:  # noqa: BLE001  (a part that fails for any reason must not end the run; its report says why)
        if not limit.passed:
            traceback.print_exc()
        note = f"failed: {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    if limit.passed:
        note = f"stopped after {seconds:.0f} s"
    measured = {figure.name for figure in figures}
    for goal in part.goals:
        # A goal for each of several figures counts as reported if there is any of them.
        if goal.name not in measured and not (part.many and figures):
            figures.append(Figure(**{**vars(goal), "note": note or "no figure"}))
            print(f"  {figures[-1]}", flush=True)
    _free(context.settings.device)
    return {
        "part": part.name,
        "rows": [row.to_dict() for row in rows],
        "figures": [figure.to_dict() for figure in figures],
        "seconds": time.perf_counter() - start,
        "note": note,
    }


def _free(device: str) -> None:
    gc.collect()
    torch.compiler.reset()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _usable(device: str) -> bool:
    """Return False if the GPU refuses work, as it does after an invalid memory access."""
    if not device.startswith("cuda"):
        return True
    try:
        torch.cuda.synchronize()
        torch.ones(1, device=device).sum().item()
    except RuntimeError:
        return False
    return True


if __name__ == "__main__":
    main()
