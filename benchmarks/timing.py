"""Time several contenders in turn, so that changes in the speed of the machine affect all of them equally."""

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
    """Durations of one contender.

    Attributes:
        seconds: duration of a call in each round with this contender.
    """

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median duration in seconds."""
        return median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile of the durations in seconds."""
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
    """Call contenders in turn, round after round, and measure the duration of each call.

    Each contender is warmed up first. A round then calls every contender once. The order rotates from round to round, so that
    no contender always runs after the same one. Each contender has an equal share of the budget; a slow contender takes part in
    fewer rounds, which are spread evenly over the whole measurement.

    Args:
        calls: contenders by name.
        budget: seconds for all contenders together, without warm-up. ``min_rounds`` can make the measurement longer.
        warmup: calls before the measurement; one or two more calls estimate the duration of a call.
        min_rounds: smallest number of rounds of a contender.
        max_rounds: largest number of rounds of a contender.
        least_time: shortest duration of a measurement in seconds; a shorter call is repeated and the time divided by the number
            of calls.
        synchronize: waits until the device has finished; default does nothing.
        clock: returns seconds.

    Returns:
        Name to durations.

    Raises:
        ValueError: if there are no contenders.
    """
    if not calls:
        raise ValueError("no contenders to measure: give at least one")
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
            # The first estimate is often too high, so a cheap call is estimated twice.
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
    """Yield names in the order of calls; each name occurs as often as its number of rounds, spread evenly."""
    names, total = list(rounds), max(rounds.values())
    for index in range(total):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            if (index + 1) * rounds[name] // total > index * rounds[name] // total:
                yield name


@contextmanager
def _without_collection() -> Iterator[None]:
    """Disable Python's garbage collector during the measurement."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _nothing() -> None:
    """Do nothing: a call on a CPU is complete when it returns."""
