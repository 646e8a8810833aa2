"""Questions about a training that fake tensors answer before any GPU is rented.

``tools/plan_pretraining.py`` is the command.
"""

from mmbeit3.pretrain.plan.measure import Comparison, compare
from mmbeit3.pretrain.plan.plan import Plan, make_plan, with_global_batch
from mmbeit3.pretrain.plan.table import print_plan, write_plan

__all__ = ["Comparison", "Plan", "compare", "make_plan", "print_plan", "with_global_batch", "write_plan"]
