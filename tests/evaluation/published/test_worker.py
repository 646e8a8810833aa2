"""An evaluation in a process of its own."""

import os
import sys
import time

import pytest

from mmbeit3.errors import UserError
from mmbeit3.evaluation.published import worker
from mmbeit3.evaluation.published.evaluate import evaluate_in_subprocess
from mmbeit3.evaluation.published.jobs import Job
from mmbeit3.zoo import read_index
from tests.evaluation.published.made import make_segmentors


def test_answer(tmp_path):
    data, index = make_segmentors(tmp_path, 1)
    (entry,) = read_index(index).values()
    options = {"test_dataloader.num_workers": 0, "test_dataloader.persistent_workers": False}
    job = Job(entry, str(data), options=options)
    answer = evaluate_in_subprocess(job, tmp_path / "0.pth", tmp_path / "logs")
    assert 0 < answer["scores"]["mIoU"] < 100
    assert answer["differences"]["mIoU"] == pytest.approx(answer["scores"]["mIoU"] - 50)
    assert "mIoU" in (tmp_path / "logs" / "output.log").read_text()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -9 $$", r"killed by signal 9 .*; its output is in '.*output\.log'"),
        ("echo a line; echo error: no weights >&2; exit 2", r"^no weights \(all output is in '.*output\.log'\)$"),
        ("exit 1", "^no output "),
    ],
)
def test_process_that_fails(tmp_path, monkeypatch, script, message):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "index.yml").write_text("Models: [{Name: a, Config: a.py, Weights: a.pth}]")
    (entry,) = read_index(tmp_path / "index.yml").values()
    with pytest.raises(UserError, match=message):
        evaluate_in_subprocess(Job(entry), tmp_path, tmp_path / "logs")


def test_it_ends_with_its_parent(monkeypatch):
    class EndedError(Exception):
        pass

    def end(code):
        raise EndedError(code)

    parents = iter([7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(EndedError):
        worker._exit_with_parent(7)
