"""Benchmarks of mmbeit3 and its peers: measured in one run, in turn, after a check that they compute the same.

``tools/benchmark.py`` is the command; ``docs/performance.md`` describes how the numbers are measured.
"""

from benchmarks.results import Report
from benchmarks.run import run_benchmark
from benchmarks.settings import Settings

__all__ = ["Report", "Settings", "run_benchmark"]
