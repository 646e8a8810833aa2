"""Evaluations one after the other, each of which is made once, however often the run is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mmbeit3.errors import UserError, one_line
from mmbeit3.evaluation.published.jobs import Job, hash_config
from mmbeit3.evaluation.published.journal import Journal
from mmbeit3.evaluation.published.record import Record
from mmbeit3.evaluation.published.weights import find_weights
from mmbeit3.files import hash_file

__all__ = ["run_jobs"]

Evaluate = Callable[[Job, Path, Path], dict[str, Any]]


def run_jobs(
    jobs: Sequence[Job],
    journal: Journal,
    evaluate: Evaluate,
    folder: Path,
    again: bool = False,
    console: Console | None = None,
) -> list[Record]:
    """Evaluate, and write a line as soon as there is a score or an error; go on after errors.

    What the journal has a score of, for the same config, weights, data and seed, is not evaluated; what failed is tried again.

    Args:
        jobs: what to evaluate.
        journal: an entered one.
        evaluate: as :func:`~mmbeit3.evaluation.published.evaluate.evaluate`.
        folder: logs go to its folder ``logs``.
        again: evaluate in any case.
        console: where to say what happens; default the terminal.

    Returns:
        A record for each job, in their order.
    """
    console = console or Console()
    done = {record.key: record for record in map(Record.from_dict, journal.lines) if record.error is None}
    hashes: dict[Path, str] = {}
    records = []
    for number, job in enumerate(jobs, start=1):
        title = f"[{number}/{len(jobs)}] {job.entry.name}"
        title += f", {job.corruption} {job.severity}" if job.corruption else ""
        record = job.record()
        try:
            record.config_hash = hash_config(job.entry.config, job.options)
            weights = find_weights(job.entry)
            if weights not in hashes:
                hashes[weights] = hash_file(weights)
            record.weights_sha256 = hashes[weights]
            if not again and record.key in done:
                _say(console, f"{title}: done before")
                # The index may have other published scores by now.
                records.append(_with_published(done[record.key], record))
                continue
            _say(console, f"{title} ...")
            log = "-".join([job.entry.name, *([job.corruption, str(job.severity)] if job.corruption else [])])
            for name, value in evaluate(job, weights, folder / "logs" / log.replace("/", "_")).items():
                setattr(record, name, value)
        except UserError as error:
            record.error = one_line(error)
        except Exception as error:  # noqa: BLE001  whatever a model's code raises, the other models are evaluated
            record.error = f"{type(error).__name__}: {one_line(error)}"
        if record.error:
            _say(console, f"{title} failed: {record.error}")
        journal.append(record.to_dict())
        records.append(record)
    return records


def _with_published(record: Record, asked: Record) -> Record:
    record.published, record.published_on = asked.published, asked.published_on
    measured = {score.metric: score.difference for score in record.table()}
    record.differences = {name: value for name, value in measured.items() if value is not None and name in record.published}
    return record


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
