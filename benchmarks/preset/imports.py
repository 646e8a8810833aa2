"""Import time of ``mmbeit3.registry`` beside that of mmdet and mmseg, in new processes that take turns."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.preset.context import Context, Output
from benchmarks.preset.figures import Figure
from mmbeit3.extras import require

__all__ = ["IMPORT_GOALS", "import_time"]

_WORK = "import of mmbeit3.registry"
_ROOT = Path(__file__).resolve().parent.parent.parent

_ENOUGH = 25.0
"""Seconds after which no further round starts."""

IMPORT_GOALS = [Figure(_WORK, "time relative to importing mmdet.models and mmseg.models", None, "x", "≤", 1.2)]

# mmcv's compiled ops are needed by mmdet.models; where mmcv has none, mmbeit3's autoload supplies them in these processes, too.
_STATEMENTS = {
    "mmbeit3.registry": "import mmbeit3.registry",
    "mmdet and mmseg": "import mmdet.models, mmseg.models",
    "all three": "import mmbeit3.registry, mmdet.models, mmseg.models",
    "torch": "import torch",
}


def import_time(context: Context) -> Iterator[Output]:
    """Measure imports, each several times; the median of all but the first, which may read files from a cold disk."""
    require("mmdet", "mmseg")
    rounds = 1 if context.settings.quick else 3
    seconds: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    start = time.perf_counter()
    for number in range(rounds):
        # From a cold disk, each import takes long: one round is then better than none.
        if number and time.perf_counter() - start > _ENOUGH:
            break
        for name, statement in _STATEMENTS.items():
            seconds[name].append(_duration(statement))
    medians = {name: median(values[1:] or values) for name, values in seconds.items()}
    for name, value in medians.items():
        yield Figure("import of " + name, "time", value, "s", note=f"first time {seconds[name][0]:.1f} s")
    (goal,) = IMPORT_GOALS
    yield Figure(**{**vars(goal), "value": medians["mmbeit3.registry"] / medians["mmdet and mmseg"]})


def _duration(statement: str) -> float:
    """Return the seconds that a new process takes to run a statement."""
    path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", statement], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
    )
    if result.returncode:
        raise RuntimeError(f"`{statement}` failed: {(result.stderr.strip().splitlines() or ['no message'])[-1]}")
    return time.perf_counter() - start
