"""Estimates of memory, operations and traffic of pretraining on many GPUs, computed on fake tensors without a GPU.

``tools/plan_pretraining.py`` is the command.
"""

from mmbeit3.pretrain.plan.measure import StepMeasurement, measure_step
from mmbeit3.pretrain.plan.plan import Plan, make_plan, with_global_batch
from mmbeit3.pretrain.plan.table import print_plan, write_plan

__all__ = ["Plan", "StepMeasurement", "make_plan", "measure_step", "print_plan", "with_global_batch", "write_plan"]
