"""Run evaluations one after the other, each of them once, also if the run is interrupted and continued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mmbeit3.errors import UserError, one_line
from mmbeit3.evaluation.published.jobs import Job, hash_config
from mmbeit3.evaluation.published.journal import Journal
from mmbeit3.evaluation.published.record import EvaluationRecord
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
) -> list[EvaluationRecord]:
    """Run jobs and write a line to the journal after each; an error of a job does not stop the others.

    A job with the same config, weights, data and seed as a line of the journal is skipped; failed jobs are run again.

    Args:
        jobs: the evaluations.
        journal: an entered journal.
        evaluate: runs a job, see :func:`~mmbeit3.evaluation.published.evaluate.evaluate`.
        folder: output folder; logs are written to ``logs`` in it.
        again: also run the jobs that the journal contains.
        console: console for progress; default the terminal.

    Returns:
        One record per job, in the order of the jobs.
    """
    console = console or Console()
    done = {record.key: record for record in map(EvaluationRecord.from_dict, journal.lines) if record.error is None}
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
                # The published scores of the index may have changed since.
                records.append(_update_published(done[record.key], record))
                continue
            _say(console, f"{title} ...")
            log = "-".join([job.entry.name, *([job.corruption, str(job.severity)] if job.corruption else [])])
            for name, value in evaluate(job, weights, folder / "logs" / log.replace("/", "_")).items():
                setattr(record, name, value)
        except UserError as error:
            record.error = one_line(error)
        except Exception as error:  # noqa: BLE001  an error in the code of one model must not stop the other models
            record.error = f"{type(error).__name__}: {one_line(error)}"
        if record.error:
            _say(console, f"{title} failed: {record.error}")
        journal.append(record.to_dict())
        records.append(record)
    return records


def _update_published(record: EvaluationRecord, current: EvaluationRecord) -> EvaluationRecord:
    """Give a finished record the published scores of the current index."""
    record.published, record.published_on = current.published, current.published_on
    differences = {score.metric: score.difference for score in record.table()}
    record.differences = {name: value for name, value in differences.items() if value is not None and name in record.published}
    return record


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
