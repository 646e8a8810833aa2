"""Questions about a training that fake tensors answer before any GPU is rented.

``tools/analysis/plan.py`` is the command.
"""

from mmbeit3.analysis.measure import Comparison, compare
from mmbeit3.analysis.plan import Plan, make_plan, with_global_batch
from mmbeit3.analysis.report import print_plan, write_plan

__all__ = ["Comparison", "Plan", "compare", "make_plan", "print_plan", "with_global_batch", "write_plan"]
