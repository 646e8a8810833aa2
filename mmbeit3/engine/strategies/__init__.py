"""Strategies for MMEngine's ``FlexibleRunner``."""

from mmbeit3.engine.strategies.fully_sharded import FullyShardedStrategy

__all__ = ["FullyShardedStrategy"]
