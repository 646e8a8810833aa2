"""Scores of released models, measured again: which, on what, in lines that survive a kill, as tables and plots.

``tools/evaluate.py`` and ``tools/evaluate_robustness.py`` are the commands; ``docs/evaluation.md`` says how to use
them.
"""

from mmbeit3.evaluation.published.entries import choose, published_on
from mmbeit3.evaluation.published.jobs import Job
from mmbeit3.evaluation.published.journal import Journal
from mmbeit3.evaluation.published.record import Record
from mmbeit3.evaluation.published.run import run_jobs

__all__ = ["Job", "Journal", "Record", "choose", "published_on", "run_jobs"]
