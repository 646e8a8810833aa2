"""Run one evaluation, in this process or in a process of its own, whose crash does not stop the other evaluations."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from torch import Tensor

from mmbeit3 import __version__
from mmbeit3.errors import UserError
from mmbeit3.evaluation.published.jobs import Job
from mmbeit3.evaluation.published.score_names import find_score
from mmbeit3.profiling.machine import describe_machine
from mmbeit3.profiling.memory import peak_of_step
from mmbeit3.runner.build import build_runner
from mmbeit3.runner.weights import load_trained
from mmbeit3.versions import find_installed

__all__ = ["evaluate", "evaluate_in_subprocess"]

_PACKAGES = ("torch", "torchvision", "timm", "mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain")


def evaluate(job: Job, weights: Path, work_dir: Path) -> dict[str, Any]:
    """Run a job in this process.

    Args:
        job: the evaluation.
        weights: checkpoint file.
        work_dir: folder for MMEngine's logs.

    Returns:
        Fields of an :class:`~mmbeit3.evaluation.published.EvaluationRecord`: scores, differences, seconds, memory_mb, device,
        versions, finished.

    Raises:
        UserError: if config, weights or data cannot be used, or no score was measured.
    """
    runner = build_runner(job.config(work_dir), ("test",))
    load_trained(runner.model, weights)
    device = torch.device(get_device())
    metrics: dict[str, Any] = {}

    def test() -> list[Tensor]:
        metrics.update(runner.test())
        return []

    peak = peak_of_step(test, device)
    scores = {name: float(value) for name, value in metrics.items() if _is_number(value)}
    if not scores:
        raise UserError(
            f"no score was measured: the {job.split} split has no ground truth, or no score is a number; try --split val"
        )
    published = job.record().published
    measured = {name: find_score(name, scores) for name in published}
    machine = describe_machine(device)
    return {
        "scores": scores,
        "differences": {name: value - published[name] for name, value in measured.items() if value is not None},
        "seconds": round(peak.seconds, 3),
        "memory_mb": round((peak.held_bytes + peak.step_bytes) / 1e6, 1),
        "device": machine.get("GPU", machine["CPU"]),
        "versions": _versions(),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def evaluate_in_subprocess(job: Job, weights: Path, work_dir: Path) -> dict[str, Any]:
    """Run a job as :func:`evaluate` does, but in a new process, which writes its output to ``output.log`` in the work dir.

    Raises:
        UserError: if the process failed or was killed; the message has the last line of its output.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    log = work_dir / "output.log"
    with tempfile.TemporaryDirectory() as folder:
        task, answer = Path(folder) / "task.json", Path(folder) / "answer.json"
        content = {"job": _job_to_dict(job), "weights": str(weights), "work_dir": str(work_dir), "answer": str(answer)}
        task.write_text(json.dumps(content), encoding="utf-8")
        command = [sys.executable, "-m", "mmbeit3.evaluation.published.worker", str(task)]
        with log.open("wb") as output:
            code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
        if code < 0:
            raise UserError(f"the process was killed by signal {-code} (9: too little memory); its output is in '{log}'")
        if code:
            lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
            raise UserError(f"{lines[-1].removeprefix('error: ')} (all output is in '{log}')")
        return json.loads(answer.read_text(encoding="utf-8"))


def _job_to_dict(job: Job) -> dict[str, Any]:
    """Return a dict that JSON can hold."""
    return {**vars(job), "entry": asdict(job.entry), "options": dict(job.options)}


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _versions() -> dict[str, str]:
    """Return packages to their versions, and the commit of mmbeit3 if it runs from a checkout."""
    versions = {name: found.version for name in _PACKAGES if (found := find_installed(name))}
    versions["mmbeit3"] = __version__
    root = Path(__file__).resolve().parents[3]
    if (root / ".git").exists():
        done = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            versions["commit"] = done.stdout.strip()
    return versions
