"""Errors of the tasks' commands: settings that do not fit data or checkpoint, and missing packages, end in one line."""

import importlib.machinery
import shutil
import sys
import types
from pathlib import Path

import pytest

from tests.tools.task_errors import LIST, check_one_line


def shorten_answers(data):
    (data / LIST).write_text("\n".join((data / LIST).read_text().splitlines()[:-2]) + "\n")


# DATA stands for the folder of the data.
CASES = {
    "question longer than the table": (
        "train vqa train_dataloader.dataset.pipeline.1.max_length=80 train_dataloader.dataset.pipeline.1.max_positions=1022",
        None,
        "train_dataloader: EncodeText has max_length=80 tokens, but .* has 62: set max_length",
    ),
    "longer than the pipeline says": (
        "train vqa train_dataloader.dataset.pipeline.1.max_length=80",
        None,
        r"EncodeText: max_length is 80: .* to 62|has 62",
    ),
    "caption longer than the table": ("test captioning model.max_length=80", None, "max_length must be from 4 to 63"),
    "wrong folder of images": (
        "train retrieval train_dataloader.dataset.data_root=elsewhere",
        None,
        "train_dataloader: data folder 'elsewhere' does not exist: set data_root",
    ),
    "wrong data_prefix": (
        "test nlvr2 test_dataloader.dataset.data_prefix.img_path=nlvr2/photos",
        None,
        r"folder 'DATA/nlvr2/photos' \(data_prefix.img_path\) does not exist: set",
    ),
    "folder of another split": (
        "test nlvr2 test_dataloader.dataset.data_prefix.img_path=val2017",
        None,
        r"image 'DATA/val2017/dev-.*' does not exist \(\d+ other images are missing, too\): set data_root",
    ),
    "classes of another number": ("train imagenet model.network.num_classes=9", None, "has 9: set its num_classes to 6"),
    "shorter answer list for a checkpoint": (
        "test vqa",
        shorten_answers,
        r"checkpoint 'vqa.pth' has another head: head.3.weight has (\d+) rows in the file and \d+ in the model. Build",
    ),
    "shorter answer list to start from": (
        "train vqa model.init_cfg.checkpoint=vqa.pth",
        shorten_answers,
        "checkpoint 'vqa.pth' has another head: .* new_head=True",
    ),
    "other answers in model and data": (
        "train vqa model.answers=other.txt",
        lambda _: Path("other.txt").write_text("red\nblue\n"),
        "train_dataloader: VQALabels and the model have different answers",
    ),
    "checkpoint of another task": (
        "test vqa",
        lambda data: shutil.copy("nlvr2.pth", "vqa.pth"),
        "belongs to another task: it lacks",
    ),
    "Java missing": (
        "test captioning test_evaluator.backend=pycocoevalcap",
        None,
        "needs Java, but 'java' is not on PATH: install it, or use backend='own'",
    ),
    "Java missing in training": (
        "train captioning val_evaluator.backend=pycocoevalcap",
        None,
        "needs Java, but 'java' is not on PATH",
    ),
    "pycocoevalcap missing": (
        "test captioning test_evaluator.backend=pycocoevalcap",
        None,
        "needs that package: pip install pycocoevalcap, or use backend='own'",
    ),
    "unknown backend": (
        "test captioning test_evaluator.backend=meteor",
        None,
        "must be 'own' or 'pycocoevalcap', got 'meteor'",
    ),
    "split that is not there": (
        "test captioning test_dataloader.dataset.splits=test,restval",
        None,
        "captions_val2017.json' has no images of split test, restval, but of val",
    ),
    "vocabulary larger than the table": (
        "train retrieval model.network.arch.vocab_size=20",
        None,
        "texts.spm' has \\d+ ids, more than the 20 rows of the model's word embedding: give the tokenizer",
    ),
    "settings that do not fit": (
        "train vqa data.x=1",
        None,
        "--cfg-options do not match config '.*': .*; use settings of this config",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_ends_in_one_line(case, task_data, call_task, monkeypatch):
    command, damage, message = CASES[case]
    if damage is not None:
        damage(task_data)
    if "Java" in case:
        package = types.ModuleType("pycocoevalcap")
        package.__spec__ = importlib.machinery.ModuleSpec("pycocoevalcap", None)
        monkeypatch.setitem(sys.modules, "pycocoevalcap", package)
        monkeypatch.setattr(shutil, "which", lambda name: None)
    elif "pycocoevalcap" in case:
        monkeypatch.setattr("mmbeit3.evaluation.metrics.captions.find_spec", lambda name: None)
    code, error, _ = call_task(*command.split())
    check_one_line(code, error, message)
