"""Interleaving and medians, with a clock that moves only when a contender is called."""

import gc
from collections import Counter
from itertools import cycle

import pytest
import torch

from benchmarks.timing import Timing, interleave
from mmbeit3.profiling.machine import synchronizer


class Bench:
    """Contenders with given durations, and a record of their calls."""

    def __init__(self):
        self.now = 0.0
        self.called = []

    def contender(self, name, *seconds):
        durations = cycle(seconds)

        def call():
            self.called.append(name)
            self.now += next(durations)

        return call

    def measure(self, calls, **options):
        return interleave(calls, clock=lambda: self.now, **{"warmup": 0, "least_time": 0.0, **options})


def test_everybody_is_called_once_a_round_in_rotating_order():
    bench = Bench()
    calls = {name: bench.contender(name, 1.0) for name in "abc"}
    timings = bench.measure(calls, budget=12.0, max_rounds=4)
    assert "".join(bench.called) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert all(timing.seconds == [1.0] * 4 for timing in timings.values())


def test_slow_contenders_get_fewer_rounds_spread_evenly_but_at_least_three():
    bench = Bench()
    calls = {"fast": bench.contender("fast", 1.0), "slow": bench.contender("slow", 100.0)}
    timings = bench.measure(calls, budget=24.0)
    assert len(timings["fast"].seconds) == 12
    assert len(timings["slow"].seconds) == 3
    rounds = bench.called[-15:]
    fast_before = [rounds[:index].count("fast") for index, name in enumerate(rounds) if name == "slow"]
    assert fast_before == [4, 8, 12] or fast_before == [3, 7, 11]


def test_budget_limits_rounds():
    bench = Bench()
    bench.measure({"a": bench.contender("a", 1.0), "b": bench.contender("b", 1.0)}, budget=40.0)
    assert Counter(bench.called) == {"a": 22, "b": 22}  # twenty rounds, and a call or two to see how long one takes
    assert bench.now == 44.0


def test_short_calls_are_repeated_in_one_measurement():
    bench = Bench()
    timings = bench.measure({"a": bench.contender("a", 0.001)}, budget=1.0, max_rounds=5, least_time=0.01)
    assert len(timings["a"].seconds) == 5
    assert timings["a"].median == pytest.approx(0.001)
    assert len(bench.called) == 2 + 5 * 10


def test_warm_up_is_not_counted():
    bench = Bench()
    durations = iter([50.0, 2.0] + [1.0] * 10)

    def call():
        bench.now += next(durations)

    timings = bench.measure({"a": call}, warmup=1, budget=4.0)
    assert timings["a"].seconds == [1.0] * 3


def test_waits_for_the_device_before_the_clock_is_read():
    bench = Bench()
    pending = []

    def synchronize():
        bench.now += sum(pending)
        pending.clear()

    timings = bench.measure({"a": lambda: pending.append(3.0)}, budget=9.0, synchronize=synchronize)
    assert timings["a"].seconds == [3.0] * 3


def test_median_and_quartiles():
    timing = Timing([5.0, 1.0, 2.0, 4.0, 3.0])
    assert timing.median == 3.0
    assert timing.quartiles == (2.0, 4.0)
    assert Timing([2.0]).quartiles == (2.0, 2.0)


def test_garbage_collector_rests_and_comes_back():
    seen = []
    interleave({"a": lambda: seen.append(gc.isenabled())}, budget=0.001, least_time=0.0)
    assert not any(seen[-3:])
    assert gc.isenabled()


def test_nothing_to_measure():
    with pytest.raises(ValueError, match="no contenders to measure"):
        interleave({})


def test_a_cpu_needs_no_waiting():
    assert synchronizer(torch.device("cpu"))() is None
