"""What the commands that evaluate an index's models share."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from mmbeit3 import zoo
from mmbeit3.cli import OptionsAction
from mmbeit3.evaluation.published.entries import choose
from mmbeit3.evaluation.published.evaluate import evaluate, evaluate_apart
from mmbeit3.evaluation.published.jobs import Job, read_roots, root_of
from mmbeit3.evaluation.published.journal import Journal
from mmbeit3.evaluation.published.record import Record
from mmbeit3.evaluation.published.run import run_jobs

__all__ = ["add_arguments", "entries_of", "jobs_of", "run_command"]


def add_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the arguments that say what to evaluate, on what, and where results go."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="models of the index, or patterns (all that have weights and published scores)"
    )
    parser.add_argument("--index", help="an index in OpenMMLab's schema (the zoo's)")
    parser.add_argument(
        "--data-root", nargs="+", default=[], metavar="FOLDER", help="folder of the data, or DATASET=FOLDER (the configs' own)"
    )
    parser.add_argument("--split", choices=["test", "val"], default="test", help="whose data of the config (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all randomness (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(out), help="folder to write to (%(default)s)")
    parser.add_argument("--again", action="store_true", help="evaluate also what was evaluated before")
    parser.add_argument("--in-process", action="store_true", help="no process of its own for each evaluation, for debuggers")
    parser.add_argument("--list", action="store_true", help="only print the models' names")
    parser.add_argument("--cfg-options", nargs="+", action=OptionsAction, default={}, help="settings to change, as name=value")


def entries_of(args: argparse.Namespace) -> list[zoo.Model]:
    """The models that the arguments name.

    Raises:
        UserError: if the index cannot be read, or lacks one.
    """
    return choose(zoo.read_index(args.index).values(), args.names)


def jobs_of(args: argparse.Namespace, entry: zoo.Model, corruption: str | None = None, severity: int = 0) -> Job:
    """A model's evaluation as the arguments want it.

    Raises:
        UserError: if a folder of data does not exist.
    """
    root = root_of(entry, read_roots(args.data_root))
    return Job(entry, root, args.split, args.seed, args.cfg_options, corruption, severity)


def run_command(args: argparse.Namespace, jobs: list[Job], console: Console) -> list[Record]:
    """Run what is not in ``results.jsonl`` of the arguments' folder, or all of it."""
    with Journal(args.out / "results.jsonl") as journal:
        return run_jobs(jobs, journal, evaluate if args.in_process else evaluate_apart, args.out, args.again, console)
