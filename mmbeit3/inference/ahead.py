"""Work in threads, ahead of the time at which its results are needed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import torch

__all__ = ["model_threads", "reading_threads", "run_ahead", "run_model_ahead"]

T = TypeVar("T")
R = TypeVar("R")

_MOST_WORKERS = 4
"""Largest number of threads that run the model. Each needs the memory of one batch."""


def run_ahead(
    items: Iterable[T], work: Callable[[T], R], workers: int, ahead: int, initialise: Callable[[], object] | None = None
) -> Iterator[R]:
    """Apply a function in threads, at most ``ahead`` items before they are needed, and yield the results in order.

    Args:
        items: the items, taken in the calling thread.
        work: the function. Its errors are raised when the item's turn comes.
        workers: number of threads.
        ahead: number of items in work or waiting.
        initialise: function that each thread calls first.
    """
    iterator = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="run-ahead", initializer=initialise)
    try:
        waiting: deque[Future[R]] = deque(pool.submit(work, item) for item in islice(iterator, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(iterator, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def model_threads(cores: int) -> tuple[int, int]:
    """Return how many threads run the model on a CPU, and the number of cores that each of them uses.

    Many operations are too small for several cores. So it is faster to predict several batches at the same time, each on fewer
    cores, than one batch on all cores.
    """
    workers = max(1, min(_MOST_WORKERS, cores if cores < 4 else cores // 2))
    return workers, max(1, cores // workers)


def run_model_ahead(batches: Iterable[T], work: Callable[[T], R], device: torch.device) -> Iterator[R]:
    """Run a model on batches, on CPUs several at the same time, and yield the results in order.

    Args:
        batches: the batches, taken in the calling thread.
        work: runs the model on a batch.
        device: device of the model.
    """
    before = torch.get_num_threads()
    workers, threads = (1, before) if device.type != "cpu" else model_threads(before)
    if workers == 1:
        # The next batch is prepared by other threads.
        yield from map(work, batches)
        return
    iterator = iter(batches)
    first = list(islice(iterator, 2))
    if len(first) < 2:
        yield from map(work, first)
        return
    try:
        # OpenMP keeps the number of cores per thread; PyTorch's number for new threads is set back at the end.
        yield from run_ahead(chain(first, iterator), work, workers, workers + 1, lambda: torch.set_num_threads(threads))
    finally:
        torch.set_num_threads(before)


def reading_threads() -> int:
    """Return the number of threads that read images. With two cores, more would take time from the model."""
    return max(1, min(4, (os.cpu_count() or 1) // 2))
