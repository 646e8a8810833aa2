"""Run a benchmark: measure all cases of a suite and write the report."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.checking import DISAGREES
from benchmarks.measure import Limits, measure
from benchmarks.plot import draw_benchmark
from benchmarks.results import Report, print_table
from benchmarks.settings import Settings
from benchmarks.suites import SUITES
from mmbeit3.errors import UserError
from mmbeit3.profiling.machine import describe_machine

__all__ = ["run_benchmark"]


def run_benchmark(suite: str, settings: Settings, out: Path, command: str) -> Report:
    """Measure a suite, print its table, and write ``results.json``, ``table.md`` and ``plot.png``.

    Results are written after each case, so an interrupted run keeps its finished cases.

    Args:
        suite: a key of :data:`benchmarks.suites.SUITES`.
        settings: sizes, device, time.
        out: output folder.
        command: command line, for the report.

    Returns:
        The report.

    Raises:
        UserError: if this machine cannot run the settings; at the end, if a peer computed something else than mmbeit3.
    """
    settings = settings.checked()
    torch.set_num_threads(settings.threads)
    device = torch.device(settings.device)
    report = Report(suite, command, settings.to_dict(), describe_machine(device))
    limits = Limits(settings)
    for case in SUITES[suite](settings):
        rows = measure(suite, case, settings, limits)
        print_table(rows)
        report.rows += rows
        if case.timed:
            report.peaks[case.dtype] = limits.peak(case.dtype)
        report.write(out)
    draw_benchmark(report.rows, f"mmbeit3 benchmark: {suite}", out / "plot.png")
    if wrong := sorted({f"{row.contender} in '{row.case}'" for row in report.rows if row.note.startswith(DISAGREES)}):
        raise UserError(f"contenders whose results differ from mmbeit3's were not measured: {', '.join(wrong)}")
    return report
