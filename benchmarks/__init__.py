"""Benchmarks: ours and its peers measured in one run, in turn, after it was seen that they compute the same.

``tools/benchmark.py`` is the command; ``docs/performance.md`` says how the numbers are made.
"""

from benchmarks.results import Report
from benchmarks.run import run_benchmark
from benchmarks.settings import Settings

__all__ = ["Report", "Settings", "run_benchmark"]
