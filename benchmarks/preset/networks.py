"""Parts that measure networks: towers, ViT-Adapter, pretraining, and deformable attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from benchmarks.cases import OURS, Case
from benchmarks.preset.context import Context, Output
from benchmarks.preset.figures import Figure
from benchmarks.rows import Row
from benchmarks.settings import Settings
from benchmarks.suites.networks import backbone_cases, train_step_cases
from benchmarks.suites.ops import ops_cases
from benchmarks.suites.pretrain_step import pretrain_step_cases

__all__ = [
    "ADAPTER_GOALS",
    "DEFORM_ATTN_GOALS",
    "FORWARD_GOALS",
    "HOST_GOALS",
    "PRETRAIN_GOALS",
    "TOWER_GOALS",
    "adapter_large",
    "adapter_launches",
    "deform_attn",
    "pretrain",
    "tower_forward",
    "tower_train",
]

_TOWER = "tower large 896², batch 2, forward + backward"
_FORWARD = "tower large 224², batch 64, forward"
_ADAPTER = "ViT-Adapter large 896², batch 2, forward + backward"
_HOST = "ViT-Adapter base 512², batch 8, forward + backward"
_PRETRAIN = "pretraining base 224², 32 images + 32 texts + 32 pairs"
_DEFORM = "deformable attention"
_LEFT_OUT = (f"{OURS} reference", f"{OURS} unfused", "mmcv, PyTorch", "transformers")
"""Contenders in plain PyTorch, which are slow and whose time says nothing about a GPU's kernels."""


TOWER_GOALS = [
    Figure(_TOWER, "of peak", None, "%", "≥", 0.45),
    Figure(_TOWER, "speed relative to timm, compiled", None, "x", "≥", 1.0),
]
FORWARD_GOALS = [
    Figure(_FORWARD, "of peak", None, "%", "≥", 0.55),
    Figure(_FORWARD, "speed relative to timm, compiled", None, "x", "≥", 1.0),
]
ADAPTER_GOALS = [Figure(_ADAPTER, "of peak", None, "%", "≥", 0.4)]
HOST_GOALS = [
    Figure(_HOST, "of peak", None, "%", "≥", 0.35),
    Figure(_HOST, "time per GPU time", None, "x", "≤", 1.1),
]
PRETRAIN_GOALS = [Figure(_PRETRAIN, "of peak", None, "%", "≥", 0.45)]
DEFORM_ATTN_GOALS = [
    Figure(_DEFORM, "speed relative to mmcv, compiled", None, "x", "≥", 2.0),
    Figure(_DEFORM, "speed relative to deformops", None, "x", "≥", 1.0),
    Figure(_DEFORM, "GPU time per bandwidth floor", None, "x", "≤", 3.0),
]


def tower_train(context: Context) -> Iterator[Output]:
    """Measure a training step of the large tower."""
    settings = context.sized(arch="large", sides=(896,), adapter_sides=(), batch=2, compile=True, by_block=True)
    yield from _against_timm(context, next(iter(train_step_cases(settings))), settings, TOWER_GOALS)


def tower_forward(context: Context) -> Iterator[Output]:
    """Measure the forward pass of the large tower."""
    settings = context.sized(arch="large", sides=(224,), adapter_sides=(), batch=64, compile=True, by_block=True)
    yield from _against_timm(context, next(iter(backbone_cases(settings))), settings, FORWARD_GOALS)


def adapter_large(context: Context) -> Iterator[Output]:
    """Measure a training step of the large ViT-Adapter."""
    case, settings = _adapter_case(context, "large", 896, 2)
    rows = context.measure(case, settings)
    yield rows
    yield _peak(ADAPTER_GOALS[0], _ours(rows))


def adapter_launches(context: Context) -> Iterator[Output]:
    """Measure a training step of the base ViT-Adapter, and how long the host and the GPU work on it."""
    case, settings = _adapter_case(context, "base", 512, 8)
    rows = context.measure(case, settings)
    yield rows
    ours = _ours(rows)
    yield _peak(HOST_GOALS[0], ours)
    yield Figure(_HOST, "time until the host has launched all", ours.host_ms if ours else None, "ms")
    yield Figure(_HOST, "GPU time", ours.device_ms if ours else None, "ms")
    ratio = ours.median_ms / ours.device_ms if ours and ours.median_ms and ours.device_ms else None
    yield _measured(HOST_GOALS[1], ratio)


def pretrain(context: Context) -> Iterator[Output]:
    """Measure a pretraining step of the base network."""
    settings = context.sized(arch="base", sides=(224,), batch=32)
    rows = context.measure(next(iter(pretrain_step_cases(settings))), settings)
    yield rows
    yield _peak(PRETRAIN_GOALS[0], _ours(rows))


def deform_attn(context: Context) -> Iterator[Output]:
    """Measure deformable attention with the shapes of the suite ``ops``; on a GPU, those that fill a GPU."""
    sides = () if context.settings.device.startswith("cuda") else (512,)
    settings = context.sized(arch="base", sides=sides, adapter_sides=(), budget=min(context.settings.budget, 0.4))
    in_float32 = {case.name: case for case in ops_cases(replace(settings, dtypes=("float32",)))}
    for case in ops_cases(replace(settings, dtypes=("bfloat16", "float32"))):
        if "forward + backward" not in case.name or "pixel decoder on" in case.name:
            continue
        contenders = [contender for contender in case.contenders if contender.name not in _LEFT_OUT]
        exact = partial(in_float32[case.name].contenders[0].make, True)
        rows = context.measure(replace(case, contenders=contenders, reference=exact), settings)
        yield rows
        ours = _ours(rows)
        ratios = [_ratio(rows, peer, ours) for peer in ("mmcv, compiled", "deformops")]
        ratios += [ours.device_ms / ours.floor_ms if ours and ours.device_ms and ours.floor_ms else None]
        for goal, ratio in zip(DEFORM_ATTN_GOALS, ratios, strict=True):
            # The row's note says why a peer is missing.
            if ratio is not None:
                yield _measured(goal, ratio, work=f"{case.name}, {case.dtype}")


def _adapter_case(context: Context, arch: str, side: int, batch: int) -> tuple[Case, Settings]:
    settings = context.sized(arch=arch, sides=(), adapter_sides=(side,), batch=batch)
    return next(iter(train_step_cases(settings))), settings


def _against_timm(context: Context, case: Case, settings: Settings, goals: Sequence[Figure]) -> Iterator[Output]:
    # timm comes first, because the compilation of a whole network may be stopped.
    order = sorted(case.contenders, key=lambda contender: contender.name == f"{OURS}, compiled")
    rows = context.measure(replace(case, contenders=order), settings)
    yield rows
    ours = _ours(rows)
    yield _peak(goals[0], ours)
    yield _measured(goals[1], _ratio(rows, "timm, compiled", ours))


def _ours(rows: Sequence[Row]) -> Row | None:
    """Return the fastest of mmbeit3's rows."""
    timed = [row for row in rows if row.contender.startswith(OURS) and row.median_ms]
    return min(timed, key=lambda row: row.median_ms or 0.0, default=None)


def _ratio(rows: Sequence[Row], peer: str, ours: Row | None) -> float | None:
    """Return the peer's time divided by mmbeit3's."""
    (theirs,) = [row.median_ms for row in rows if row.contender == peer] or [None]
    return theirs / ours.median_ms if theirs and ours and ours.median_ms else None


def _peak(goal: Figure, row: Row | None) -> Figure:
    return _measured(goal, row.peak_fraction if row else None, note=row.contender if row else "")


def _measured(goal: Figure, value: float | None, work: str = "", note: str = "") -> Figure:
    return Figure(**{**vars(goal), "value": value, "work": work or goal.work, "note": note})
