"""Measure a contender's peak memory in a fresh process, so that earlier work in this one does not count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.cases import Unavailable
from benchmarks.settings import Settings
from mmbeit3.profiling.memory import Peak

__all__ = ["peak_memory"]

_ROOT = Path(__file__).resolve().parent.parent


def peak_memory(suite: str, case: str, contender: str, settings: Settings) -> Peak:
    """Run one contender's step once in a process of its own.

    Args:
        suite: name of the suite.
        case: name of the case in it.
        contender: name of the contender.
        settings: what the suite's cases are made of.

    Raises:
        Unavailable: if the process did not survive, or the contender lacks something.
    """
    task = json.dumps({"suite": suite, "case": case, "contender": contender, "settings": settings.to_dict()})
    command = [sys.executable, "-m", "benchmarks.probe", task]
    # The package benchmarks is found from the repository's root, wherever the command was started.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode < 0:
        raise Unavailable(f"memory: the process was ended by signal {-result.returncode} (9: too little memory)")
    if result.returncode:
        raise Unavailable(f"memory: {(result.stderr.strip().splitlines() or ['the process failed'])[-1]}")
    return Peak(**json.loads(result.stdout.splitlines()[-1]))
