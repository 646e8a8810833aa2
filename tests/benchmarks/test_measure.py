"""Measuring a case: from its contenders to its rows."""

from dataclasses import replace

import pytest
import torch

from benchmarks import measure as measuring
from benchmarks import networks
from benchmarks.cases import Case, Contender, Results, Unavailable, compare, deviation
from benchmarks.checking import DISAGREES
from benchmarks.measure import Limits, measure
from benchmarks.memory import peak_memory
from benchmarks.settings import Settings
from benchmarks.suites import SUITES
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


def half_precision(*contenders, expected=(A,), gradients=(B,), **options):
    case = Case("step", "bfloat16", contenders, lambda: lambda: Results(expected, gradients), **options)
    return {row.contender: row for row in measure("none", case, SETTINGS, Limits(SETTINGS))}


def test_half_precision_is_compared_with_float32_so_that_the_row_tells_who_is_wrong():
    rows = half_precision(
        contender("mmbeit3", lambda: Results([A * 1.01], [B * 2])), contender("peer", lambda: Results([A], [B * 1.02]))
    )
    ours, peer = rows["mmbeit3"], rows["peer"]
    assert (ours.output_deviation, ours.gradient_deviation) == pytest.approx((0.01, 1.0), abs=1e-6)
    assert (peer.output_deviation, peer.gradient_deviation) == pytest.approx((0.0, 0.02), abs=1e-6)
    assert ours.note == f"{DISAGREES}: outputs by 0.01, gradients by 1 from float32, 0.05 allowed"
    assert ours.median_ms is None
    assert peer.median_ms > 0
    assert peer.ratio is None


def test_values_that_are_not_finite_are_not_timed():
    nan = torch.full((2,), float("nan"))
    rows = rows_of(contender("mmbeit3", lambda: [nan]), contender("peer", lambda: [A]))
    assert all(row.note.startswith(DISAGREES) and row.median_ms is None for row in rows.values())
    assert half_precision(contender("mmbeit3", lambda: Results([A], [B * nan[0]])))["mmbeit3"].note.startswith(DISAGREES)


def test_gradients_in_float32_where_half_precision_makes_other_choices():
    def choosing(name, gradient):
        return Contender(name, lambda equal: lambda: Results([A], [-B]), lambda: lambda: Results([A], [gradient]))

    rows = half_precision(choosing("mmbeit3", B), choosing("peer", B * 1.0001), choosing("other", B * 1.01))
    assert rows["mmbeit3"].median_ms > 0
    assert rows["peer"].median_ms > 0
    assert rows["peer"].gradient_deviation == pytest.approx(1e-4, rel=1e-2)
    assert rows["other"].note.endswith("0.001 allowed (in float32)")
    assert rows["other"].median_ms is None


def test_too_little_memory_for_the_reference_is_noted_and_nothing_is_timed():
    def reference():
        raise torch.OutOfMemoryError("CUDA out of memory\nmore")

    case = Case("step", "bfloat16", [contender("mmbeit3", lambda: [A])], reference)
    (row,) = measure("none", case, SETTINGS, Limits(SETTINGS))
    assert row.note == "not compared with float32: CUDA out of memory"
    assert row.median_ms is None


def test_outputs_and_gradients_apart():
    assert compare(Results([A], [B]), Results([A], [B * 1.5])) == (0.0, 0.5)
    assert compare(Results([A]), Results([A * 1.5])) == (0.5, None)
    assert compare([A], [A * 1.5]) == (0.5, None)
    assert compare(Results([A], [B]), Results([A])).gradients == float("inf")


def test_batch_is_in_names_inputs_and_rows():
    settings = replace(SETTINGS, batch=3, sides=(64,), budget=0.01)
    names = {suite: [case.name for case in SUITES[suite](settings)] for suite in ("backbone", "train-step", "memory")}
    assert all("batch 3" in name for found in names.values() for name in found)
    assert not any("batch" in case.name for case in SUITES["backbone"](replace(settings, batch=1)))
    assert networks.make_image(64, "cpu", 3).shape == (3, 3, 64, 64)
    assert networks.make_text(5, 10, "cpu", 3).shape == (3, 5)
    (case, *_) = SUITES["backbone"](settings)
    (single, *_) = SUITES["backbone"](replace(settings, batch=1))
    row, one = (measure("backbone", found, settings, Limits(settings))[0] for found in (case, single))
    assert row.images_per_s == pytest.approx(3e3 / row.median_ms)
    assert row.gflop == pytest.approx(3 * one.gflop)


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
