"""The part that the commands ``tools/evaluate.py`` and ``tools/evaluate_robustness.py`` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console

from mmbeit3 import zoo
from mmbeit3.evaluation.published.entries import choose
from mmbeit3.evaluation.published.evaluate import evaluate, evaluate_in_subprocess
from mmbeit3.evaluation.published.jobs import Job, data_root_of, parse_data_roots
from mmbeit3.evaluation.published.journal import Journal
from mmbeit3.evaluation.published.record import EvaluationRecord
from mmbeit3.evaluation.published.run import run_jobs

__all__ = ["run_command"]

Reporter = Callable[[Sequence[EvaluationRecord], Path, Console], None]
"""Prints records to a console, and writes ``table.md`` and ``plot.png`` into a folder."""


def run_command(
    args: argparse.Namespace, report: Reporter, corruptions: Iterable[tuple[str, int]] = (), what: str = "models"
) -> None:
    """Evaluate the models that the arguments name, and report the results; exit with 1 if an evaluation failed.

    With ``--list``, only print the names. Evaluations that ``results.jsonl`` in the output folder already contains are not
    repeated, except with ``--again``.

    Args:
        args: the parsed arguments of :func:`~mmbeit3.cli.add_evaluation_arguments`.
        report: prints and writes the results.
        corruptions: pairs of corruption and severity (1 to 5). Each model is evaluated on clean images first, then under these.
        what: plural noun for the evaluations in the message about failures.

    Raises:
        UserError: if the index cannot be read or does not have a named model, or a data folder does not exist.
    """
    models = choose(zoo.read_index(args.index).values(), args.names)
    if args.list:
        print("\n".join(model.name for model in models))
        return
    jobs = [_make_job(args, model) for model in models]
    corruptions = list(corruptions)
    jobs += [_make_job(args, model, corruption, severity) for model in models for corruption, severity in corruptions]
    console = Console()
    with Journal(args.out / "results.jsonl") as journal:
        records = run_jobs(
            jobs, journal, evaluate if args.in_process else evaluate_in_subprocess, args.out, args.again, console
        )
    report(records, args.out, console)
    print(f"results.jsonl, table.md and plot.png in {args.out}")
    if failed := sum(record.error is not None for record in records):
        print(f"{failed} of {len(records)} {what} failed", file=sys.stderr)
        sys.exit(1)


def _make_job(args: argparse.Namespace, model: zoo.Model, corruption: str | None = None, severity: int = 0) -> Job:
    root = data_root_of(model, parse_data_roots(args.data_root))
    return Job(model, root, args.split, args.seed, args.cfg_options, corruption, severity)
