"""Timing of several contenders so that a machine's changing speed falls on all of them alike."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

__all__ = ["Timing", "interleave"]


@dataclass
class Timing:
    """How long one contender took.

    Attributes:
        seconds: a call's duration in each round that it took part in.
    """

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle one of the durations, in seconds."""
        return median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile of the durations, in seconds."""
        if len(self.seconds) < 2:
            return self.median, self.median
        first, _, third = quantiles(self.seconds, n=4, method="inclusive")
        return first, third


def interleave(
    calls: Mapping[str, Callable[[], Any]],
    budget: float = 60.0,
    *,
    warmup: int = 1,
    min_rounds: int = 3,
    max_rounds: int = 60,
    least_time: float = 0.005,
    synchronize: Callable[[], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Call contenders in turn, round after round, and take the time of each call.

    Each is warmed up first. A round then calls every contender once, in an order that rotates from round to round, so that none
    always runs after the same one. Each contender has an equal share of the budget: where that is too little for as many rounds
    as another gets, it takes part in fewer, spread evenly over the whole measurement.

    Args:
        calls: the contenders by name.
        budget: seconds for all of them together, warm-up not counted. ``min_rounds`` may exceed it.
        warmup: calls before the measurement (and one or two more, which tell how long a call takes).
        min_rounds: rounds that every contender gets.
        max_rounds: rounds that none exceeds.
        least_time: seconds that one measurement shall last; shorter calls are repeated in it and their time is divided.
        synchronize: waits for the device to finish; default nothing.
        clock: returns seconds.

    Returns:
        Each contender's durations.

    Raises:
        ValueError: without contenders.
    """
    if not calls:
        raise ValueError("nothing to measure")
    wait = synchronize or _nothing

    def timed(call: Callable[[], Any], repeats: int) -> float:
        wait()
        start = clock()
        for _ in range(repeats):
            call()
        wait()
        return (clock() - start) / repeats

    repeats, rounds = {}, {}
    for name, call in calls.items():
        for _ in range(warmup):
            call()
        estimate = max(timed(call, 1), 1e-9)
        if estimate < budget / len(calls) / 10:
            # Cheap enough to ask again: the first answer is often too high.
            estimate = max(min(estimate, timed(call, 1)), 1e-9)
        repeats[name] = max(1, math.ceil(least_time / estimate))
        affordable = int(budget / len(calls) / (estimate * repeats[name]))
        rounds[name] = min(max(affordable, min_rounds), max_rounds)
    timings = {name: Timing() for name in calls}
    with _without_collection():
        for name in _schedule(rounds):
            timings[name].seconds.append(timed(calls[name], repeats[name]))
    return timings


def _schedule(rounds: Mapping[str, int]) -> Iterator[str]:
    """Names in the order in which to call them: each as often as it says, spread evenly over the most rounds of any."""
    names, total = list(rounds), max(rounds.values())
    for index in range(total):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            if (index + 1) * rounds[name] // total > index * rounds[name] // total:
                yield name


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep Python's garbage collector out of the measurements."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _nothing() -> None:
    """A CPU has done its work when the call returns."""
