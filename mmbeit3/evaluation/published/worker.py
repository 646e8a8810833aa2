"""The process of one evaluation, see :func:`mmbeit3.evaluation.published.evaluate.evaluate_in_subprocess`.

``python -m mmbeit3.evaluation.published.worker TASK``, where the task is a JSON file: job, weights, work_dir, answer.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.evaluation.published.entries import Entry
from mmbeit3.evaluation.published.evaluate import evaluate
from mmbeit3.evaluation.published.jobs import Job
from mmbeit3.files import write_atomically

__all__ = ["main"]


def main() -> None:
    """Evaluate, and write the answer's file."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    task = json.loads(Path(sys.argv[1]).read_bytes())
    entry = task["job"].pop("entry")
    job = Job(Entry(**{**entry, "config": Path(entry["config"])}), **task["job"])
    answer = evaluate(job, Path(task["weights"]), Path(task["work_dir"]))
    write_atomically(task["answer"], json.dumps(answer).encode())


def _end_with(parent: int) -> None:
    """Nobody waits for the answer once the parent is gone, and the next attempt wants the device."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    run(main)
