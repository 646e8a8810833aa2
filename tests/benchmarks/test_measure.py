"""Measuring a case: from its contenders to its rows."""

import pytest
import torch

from benchmarks import measure as measuring
from benchmarks.cases import Case, Contender, Unavailable, deviation
from benchmarks.measure import DISAGREES, Limits, measure
from benchmarks.memory import peak_memory
from benchmarks.settings import Settings
from mmbeit3.profiling.memory import PeakMemory, peak_of_step

SETTINGS = Settings().for_check()
A, B = torch.ones(8, 4), torch.ones(4, 6)


def contender(name, step):
    return Contender(name, lambda equal: step)


def missing(name, reason):
    def make(equal):
        raise Unavailable(reason)

    return Contender(name, make)


def rows_of(*contenders, **options):
    case = Case("product", "float32", contenders, **options)
    return {row.contender: row for row in measure("none", case, SETTINGS, Limits(SETTINGS))}


def test_a_row_of_each_contender():
    rows = rows_of(contender("mmbeit3", lambda: [A @ B]), contender("peer", lambda: [A.clone() @ B]))
    ours, peer = rows["mmbeit3"], rows["peer"]
    assert ours.ratio == 1.0
    assert peer.ratio == pytest.approx(peer.median_ms / ours.median_ms)
    assert ours.low_ms <= ours.median_ms <= ours.high_ms
    assert ours.rounds >= 3
    assert ours.gflop == peer.gflop == 2 * 8 * 4 * 6 / 1e9
    assert ours.peak_fraction > 0


def test_missing_peer_says_what_it_needs():
    rows = rows_of(contender("mmbeit3", lambda: [A @ B]), missing("peer", "peer is not here: pip install peer"))
    assert rows["peer"].note == "peer is not here: pip install peer"
    assert rows["peer"].median_ms is None
    assert rows["mmbeit3"].median_ms > 0


def test_peer_that_computes_something_else_is_not_timed():
    rows = rows_of(contender("mmbeit3", lambda: [A @ B]), contender("peer", lambda: [A @ B * 1.01]))
    assert rows["peer"].note.startswith(DISAGREES)
    assert rows["peer"].median_ms is None


def test_peer_that_fails_is_noted_and_ours_is_raised():
    def fail():
        raise RuntimeError("not for this type\nand more")

    rows = rows_of(contender("mmbeit3", lambda: [A @ B]), contender("peer", fail))
    assert rows["peer"].note == "failed: not for this type"
    with pytest.raises(RuntimeError, match="not for this type"):
        rows_of(contender("mmbeit3", fail))


def test_bandwidth_floor():
    rows = rows_of(contender("mmbeit3", lambda: [A @ B]), bytes_moved=10**6)
    assert rows["mmbeit3"].floor_ms == pytest.approx(1 / Limits(SETTINGS).bandwidth())


def test_memory_is_relative_to_the_first(monkeypatch):
    peaks = {"mmbeit3": PeakMemory(10**9, 2 * 10**6, 1.0), "peer": PeakMemory(10**9, 5 * 10**6, 1.0)}
    monkeypatch.setattr(measuring, "peak_memory", lambda suite, case, contender, settings: peaks[contender])
    rows = rows_of(*(contender(name, lambda: [A]) for name in peaks), timed=False, memory=True)
    assert (rows["peer"].memory_mb, rows["peer"].memory_ratio, rows["peer"].held_mb) == (5.0, 2.5, 1000.0)
    assert rows["mmbeit3"].memory_ratio == 1.0


def test_memory_process_that_fails_says_why():
    with pytest.raises(Unavailable, match=r"^memory: "):
        peak_memory("ops", "no such case", "nobody", SETTINGS)


def test_peak_of_a_step_counts_what_was_held_at_once():
    peak = peak_of_step(lambda: [torch.ones(25_000_000).sum()], torch.device("cpu"))
    assert 90e6 < peak.step_bytes < 160e6
    assert peak.held_bytes > 50e6


def test_deviation():
    a = torch.tensor([3.0, 4.0])
    assert deviation([a], [a]) == 0.0
    assert deviation([a, a], [a, torch.tensor([3.0, 4.5])]) == pytest.approx(0.1)
    assert deviation([a], [a[:1]]) == float("inf")
    assert deviation([a], [torch.tensor([3.0, float("nan")])]) == float("inf")
    assert deviation([torch.zeros(2)], [torch.zeros(2)]) == 0.0
