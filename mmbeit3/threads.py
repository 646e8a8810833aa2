"""Settings of OpenMP for the commands. Imports no other package, because they must be set before PyTorch is imported."""

from __future__ import annotations

import os

__all__ = ["SPINS", "limit_spinning"]

SPINS = "1000"
"""Number of turns of libgomp's loop that a thread without work waits in before it sleeps; libgomp's default is 300000."""

_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def limit_spinning() -> None:
    """Make OpenMP's threads sleep early when they have no work, unless the environment sets how they wait.

    PyTorch's wheels for Linux use libgomp. Its threads spin while they wait for the next parallel region. If other processes
    need the cores, the spinning threads take time from the thread that they wait for. Without spinning
    (``OMP_WAIT_POLICY=passive``), small regions cost more, because every one wakes the threads up; see docs/training.md.

    The setting has an effect only before PyTorch is imported. Programs that the process starts inherit it.
    """
    if not any(name in os.environ for name in _SETTINGS):
        os.environ["GOMP_SPINCOUNT"] = SPINS
