"""Rank and number of ranks, with or without a process group."""

from __future__ import annotations

import torch.distributed as dist

__all__ = ["process_rank", "world_size"]


def process_rank() -> tuple[int, int]:
    """Return the rank of this process and the number of ranks; (0, 1) without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def world_size() -> int:
    """Return the number of ranks; 1 without a process group."""
    return process_rank()[1]
