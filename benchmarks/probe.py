"""Main program of the process that :func:`benchmarks.memory.peak_memory` starts to measure peak memory.

``python -m benchmarks.probe TASK``, where TASK is JSON with suite, case, contender and settings.
"""

import json
import sys
from dataclasses import asdict

import torch

from benchmarks.cases import Unavailable
from benchmarks.settings import Settings
from benchmarks.suites import SUITES
from mmbeit3.profiling.memory import peak_of_step

__all__ = ["main"]


def main() -> None:
    """Build the contender that the task names, run its step once, and print its :class:`PeakMemory` as JSON."""
    task = json.loads(sys.argv[1])
    settings = Settings.from_dict(task["settings"])
    torch.set_num_threads(settings.threads)
    case = next(case for case in SUITES[task["suite"]](settings) if case.name == task["case"])
    contender = next(contender for contender in case.contenders if contender.name == task["contender"])
    try:
        step = contender.make(False)
    except Unavailable as reason:
        sys.exit(str(reason))
    print(json.dumps(asdict(peak_of_step(step, torch.device(settings.device)))))


if __name__ == "__main__":
    main()
