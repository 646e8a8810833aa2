"""Hooks for MMEngine's runner."""

from mmbeit3.engine.hooks.compile_blocks import CompileBlocksHook
from mmbeit3.engine.hooks.console import ConsoleHook
from mmbeit3.engine.hooks.early_stop import EarlyStopHook
from mmbeit3.engine.hooks.exact_resume import ExactResumeHook
from mmbeit3.engine.hooks.fast_ops import FastOpsHook
from mmbeit3.engine.hooks.finite_loss import FiniteLossHook
from mmbeit3.engine.hooks.safe_checkpoint import AtomicLocalBackend, SafeCheckpointHook
from mmbeit3.engine.hooks.throughput import ThroughputHook

__all__ = [
    "AtomicLocalBackend",
    "CompileBlocksHook",
    "ConsoleHook",
    "EarlyStopHook",
    "ExactResumeHook",
    "FastOpsHook",
    "FiniteLossHook",
    "SafeCheckpointHook",
    "ThroughputHook",
]
