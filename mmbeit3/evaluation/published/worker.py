"""Main program of the process that :func:`mmbeit3.evaluation.published.evaluate.evaluate_in_subprocess` starts.

``python -m mmbeit3.evaluation.published.worker TASK``, where TASK is a JSON file with job, weights, work_dir and answer.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.evaluation.published.evaluate import evaluate
from mmbeit3.evaluation.published.jobs import Job
from mmbeit3.files import write_atomically
from mmbeit3.zoo import Model, Result

__all__ = ["main"]


def main() -> None:
    """Run the job and write its result to the file ``answer``."""
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    task = json.loads(Path(sys.argv[1]).read_bytes())
    entry = task["job"].pop("entry")
    results = tuple(Result(**result) for result in entry.pop("results"))
    job = Job(Model(**entry, results=results), **task["job"])
    answer = evaluate(job, Path(task["weights"]), Path(task["work_dir"]))
    write_atomically(task["answer"], json.dumps(answer).encode())


def _exit_with_parent(parent: int) -> None:
    """Exit when the parent process is gone: then no process reads the answer, and the next attempt needs the device."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    run(main)
