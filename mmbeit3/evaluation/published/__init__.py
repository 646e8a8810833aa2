"""Measure published scores of released models again, on clean or corrupted images; interrupted runs can be continued.

``tools/evaluate.py`` and ``tools/evaluate_robustness.py`` are the commands; ``docs/evaluation.md`` describes them.

* ``command``: arguments of both commands, and the steps they share.
* ``entries``, ``weights``, ``score_names``: models of an index, their checkpoint files, and the names of scores.
* ``jobs``: evaluations to run, with the config of each.
* ``run``, ``evaluate``, ``worker``: run all jobs; run one job, in this process or in a process of its own.
* ``record``, ``journal``: the result of an evaluation, and the file of JSON lines that survives a kill.
* ``robustness``: scores under corruption.
* ``reports``, ``table``, ``plots``: print and write the results.
"""

from mmbeit3.evaluation.published.entries import choose, published_on
from mmbeit3.evaluation.published.jobs import Job
from mmbeit3.evaluation.published.journal import Journal
from mmbeit3.evaluation.published.record import EvaluationRecord
from mmbeit3.evaluation.published.run import run_jobs

__all__ = ["EvaluationRecord", "Job", "Journal", "choose", "published_on", "run_jobs"]
