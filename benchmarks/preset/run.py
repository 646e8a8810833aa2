"""Run the preset: start a process for the parts, replace it if it crashes or hangs, and write the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.preset.context import Part
from benchmarks.preset.figures import Figure, figures_markdown
from benchmarks.preset.parts import PARTS
from benchmarks.results import Report
from benchmarks.rows import Row
from benchmarks.settings import Settings
from mmbeit3.files import write_atomically
from mmbeit3.profiling.machine import describe_machine

__all__ = ["run_preset", "worker_command"]

_ROOT = Path(__file__).resolve().parent.parent.parent
QUICK_REMARK = "This run only checks that everything works, with tiny sizes: the numbers mean nothing.\n"

_GRACE = 20.0
"""Seconds after a part's limit until its process is killed: it may be in a call that cannot be interrupted."""
_START = 90.0
"""Seconds that a process may take to start its first part; imports from a cold disk take long."""


def run_preset(settings: Settings, out: Path, command: str, parts: Sequence[str] = tuple(PARTS), limit: float = 345.0) -> Path:
    """Run the parts, print rows and figures as they come, and write ``results.json`` and ``table.md`` after each part.

    Args:
        settings: device, threads, budget per case, and ``quick``; each part chooses its sizes.
        out: output folder.
        command: command line, for the report.
        parts: names of parts, in this order.
        limit: seconds for all parts, including the start; parts that do not fit are reported as not started.

    Returns:
        The path of ``results.json``.

    Raises:
        UserError: if this machine cannot run the settings.
    """
    settings = settings.checked()
    start = time.time()
    folder = out / "parts"
    for name in (*PARTS, "running"):
        (folder / f"{name}.json").unlink(missing_ok=True)
    report = Report("gpu", command, settings.to_dict(), describe_machine(torch.device(settings.device)))
    results: dict[str, dict[str, Any]] = {}

    def write_new_results() -> None:
        if _collect(folder, parts, results):
            _write(out, report, parts, results)

    while (todo := [name for name in parts if name not in results]) and time.time() < start + limit:
        task = {"settings": settings.to_dict(), "parts": todo, "out": str(out.resolve()), "deadline": start + limit}
        reason = _run_process(task, folder, write_new_results)
        _collect(folder, parts, results)
        running = _read(folder / "running.json").get("part")
        if reason and running not in results:
            # The part that was running is not tried again; without one, the process could not start.
            results[running or todo[0]] = _failed(PARTS[running or todo[0]], reason)
        elif not reason:
            break
        _write(out, report, parts, results)
    for name in parts:
        if name not in results:
            results[name] = _failed(PARTS[name], "not started: no time was left")
    path = _write(out, report, parts, results)
    print(f"\n{QUICK_REMARK if settings.quick else ''}{_summary(parts, results)}\n\n{time.time() - start:.0f} s", flush=True)
    return path


def _run_process(task: Mapping[str, Any], folder: Path, on_change: Callable[[], None]) -> str:
    """Run a worker process until it ends; return why it failed, or an empty string."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    (folder / "running.json").unlink(missing_ok=True)
    process = subprocess.Popen(worker_command(task), env=environment)
    started = time.time()
    try:
        while process.poll() is None:
            running = _read(folder / "running.json")
            since, seconds = (running["since"], running["seconds"]) if running else (started, _START)
            if time.time() > since + seconds + _GRACE:
                return f"killed: no end {_GRACE:.0f} s after the limit of {seconds:.0f} s"
            on_change()
            time.sleep(0.2)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    if process.returncode < 0:
        return f"the process was killed by signal {-process.returncode}"
    return f"the process ended with status {process.returncode}" if process.returncode else ""


def worker_command(task: Mapping[str, Any]) -> list[str]:
    """Return the command of the process that runs the parts of a task."""
    return [sys.executable, "-m", "benchmarks.preset.worker", json.dumps(task)]


def _collect(folder: Path, parts: Sequence[str], results: dict[str, dict[str, Any]]) -> bool:
    """Read the results of parts that are done; return True if there are new ones."""
    new = {name: _read(folder / f"{name}.json") for name in parts if name not in results}
    new = {name: result for name, result in new.items() if result}
    results.update(new)
    return bool(new)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _failed(part: Part, reason: str) -> dict[str, Any]:
    goals = [Figure(**{**vars(goal), "note": reason}).to_dict() for goal in part.goals]
    return {"part": part.name, "rows": [], "figures": goals, "seconds": 0.0, "note": reason}


def _write(out: Path, report: Report, parts: Sequence[str], results: Mapping[str, Mapping[str, Any]]) -> Path:
    done = [results[name] for name in parts if name in results]
    for result in done:
        report.peaks |= result.get("peaks", {})
    report.rows = [Row(**row) for result in done for row in result["rows"]]
    content = {**vars(report), "rows": [row.to_dict() for row in report.rows], "parts": done}
    path = out / "results.json"
    write_atomically(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    tables = [figures_markdown(_figures(done)), report.to_markdown()]
    write_atomically(out / "table.md", "\n\n".join(tables).encode())
    return path


def _figures(results: Sequence[Mapping[str, Any]]) -> list[Figure]:
    return [
        Figure(**{key: value for key, value in figure.items() if key != "reached"})
        for result in results
        for figure in result["figures"]
    ]


def _summary(parts: Sequence[str], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures with goals, one per line."""
    return "\n".join(str(figure) for figure in _figures([results[name] for name in parts]) if figure.relation)
