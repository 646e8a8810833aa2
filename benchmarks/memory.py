"""Measure the peak memory of a contender in a new process, so that earlier work in this process does not count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.cases import Unavailable
from benchmarks.settings import Settings
from mmbeit3.profiling.memory import PeakMemory

__all__ = ["peak_memory"]

_ROOT = Path(__file__).resolve().parent.parent


def peak_memory(suite: str, case: str, contender: str, settings: Settings) -> PeakMemory:
    """Run the step of one contender once in a new process and return its peak memory.

    Args:
        suite: name of the suite.
        case: name of a case of the suite.
        contender: name of a contender of the case.
        settings: settings that the cases of the suite are built from.

    Raises:
        Unavailable: if the process failed or was killed, or the contender needs something that is missing.
    """
    task = json.dumps({"suite": suite, "case": case, "contender": contender, "settings": settings.to_dict()})
    command = [sys.executable, "-m", "benchmarks.probe", task]
    # The new process finds the package benchmarks in the root of the repository, also if the command was started elsewhere.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode < 0:
        raise Unavailable(f"memory: the process was killed by signal {-result.returncode} (9: too little memory)")
    if result.returncode:
        raise Unavailable(f"memory: {(result.stderr.strip().splitlines() or ['the process failed'])[-1]}")
    return PeakMemory(**json.loads(result.stdout.splitlines()[-1]))
