"""The lines of a quiet command."""

import io
import re

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmbeit3.engine.console_text import format_scores
from mmbeit3.engine.hooks import ConsoleHook, ThroughputHook
from mmbeit3.terminal import Terminal


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))

    def forward(self, inputs, mode):
        return {"loss": (self.weight * inputs).sum()} if mode == "loss" else [0]


class Score(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return {"coco/bbox_mAP": 0.25, "coco/bbox_mAP_l": -1.0, "mIoU": 12.5}


class Teletype(io.StringIO):
    def isatty(self):
        return True


def run(folder, stream, **settings):
    """Train 40 iterations with two validations."""
    data = [{"inputs": torch.ones(2)} for _ in range(20)]
    loader = torch.utils.data.DataLoader(data, batch_size=1)
    runner = Runner(
        Model(),
        str(folder),
        train_dataloader=loader,
        val_dataloader=loader,
        val_evaluator=[Score()],
        val_cfg={},
        train_cfg={"by_epoch": True, "max_epochs": 2},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.01}},
        default_hooks={
            "checkpoint": {"type": "mmbeit3.SafeCheckpointHook", "interval": 1, "save_best": "mIoU", "rule": "greater"}
        },
        custom_hooks=[ThroughputHook()],
        default_scope="mmengine",
        experiment_name=str(folder),
    )
    terminal = Terminal()
    terminal.stdout = stream
    hook = ConsoleHook(terminal, ("train", "val"), **settings)
    runner.register_hook(hook)
    runner.train()
    assert terminal.printer is None
    return stream.getvalue()


def test_lines(tmp_path):
    lines = run(tmp_path, io.StringIO(), suggest=lambda path: [f"next {path}"]).splitlines()
    text = "\n".join(lines)
    start = [line.split()[0] for line in lines[: next(i for i, line in enumerate(lines) if line.startswith("iteration"))]]
    assert start == ["mmbeit3", "device", "train", "val", "model", "training", "checkpoints", "log"]
    assert "2 epochs, 40 iterations of 1 samples" in text
    steps = [line for line in lines if line.startswith("iteration")]
    # MMEngine logs every 10 iterations by default.
    assert [line.split(":")[0] for line in steps] == [
        "iteration 10/40",
        "iteration 20/40",
        "iteration 30/40",
        "iteration 40/40",
    ]
    assert all("loss " in line and "s/it" in line for line in steps)
    estimate = [line for line in lines if re.match(r"about .* for the other 20 iterations, .* s per iteration, peak ", line)]
    assert len(estimate) == 1
    assert text.count("validation after epoch") == 2
    assert text.count("  coco: bbox_mAP 0.25\n  mIoU 12.5\n") == 2, "sizes without objects are left out"
    best = tmp_path / "best_mIoU_epoch_1.pth"
    assert f"best         {best} (mIoU 12.5)" in lines
    assert f"last         {tmp_path / 'epoch_2.pth'}" in lines
    assert lines[-1] == f"next {best}"


def test_bar_on_a_terminal(tmp_path):
    text = run(tmp_path, Teletype())
    assert "training" in text
    assert "40/40" in text
    assert "validating" in text
    assert "iteration 10/40" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is shown again"


def test_title_leaves_only_the_progress(tmp_path):
    lines = run(tmp_path, io.StringIO(), title="step one").splitlines()
    assert [line.split(":")[0] for line in lines] == [f"step one {step}/40" for step in (10, 20, 30, 40)]


@pytest.mark.parametrize(
    ("scores", "lines"),
    [
        ({"coco/bbox_mAP": 0.12344, "coco/bbox_mAP_s": -1, "time": 3}, ["  coco: bbox_mAP 0.1234"]),
        ({"aAcc": np.float32(90.0), "mIoU": float("nan"), "note": "text"}, ["  aAcc 90, mIoU nan"]),
        ({}, []),
    ],
)
def test_scores(scores, lines):
    assert format_scores(scores) == lines
