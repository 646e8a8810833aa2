"""Scores of released models, measured again: which, on what, in lines that survive a kill, as tables and plots.

``tools/benchmark/evaluate.py`` and ``tools/benchmark/robustness.py`` are the commands; ``docs/evaluation.md`` says how to use
them.
"""

from mmbeit3.benchmark.scores.entries import choose, published_on
from mmbeit3.benchmark.scores.jobs import Job
from mmbeit3.benchmark.scores.journal import Journal
from mmbeit3.benchmark.scores.record import Record
from mmbeit3.benchmark.scores.run import run_jobs

__all__ = ["Job", "Journal", "Record", "choose", "published_on", "run_jobs"]
