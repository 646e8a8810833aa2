"""Hooks for MMEngine's runner."""

from mmbeit3.engine.hooks.compile_blocks import CompileBlocksHook
from mmbeit3.engine.hooks.exact_resume import ExactResumeHook
from mmbeit3.engine.hooks.fast_ops import FastOpsHook
from mmbeit3.engine.hooks.finite_loss import FiniteLossHook
from mmbeit3.engine.hooks.progress_bar import ProgressBarHook
from mmbeit3.engine.hooks.safe_checkpoint import AtomicLocalBackend, SafeCheckpointHook
from mmbeit3.engine.hooks.throughput import ThroughputHook

__all__ = [
    "AtomicLocalBackend",
    "CompileBlocksHook",
    "ExactResumeHook",
    "FastOpsHook",
    "FiniteLossHook",
    "ProgressBarHook",
    "SafeCheckpointHook",
    "ThroughputHook",
]
