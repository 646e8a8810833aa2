"""Helpers for the tests of the tasks' commands: data, checkpoints, arguments, and functions that damage the data."""

import itertools
import json
import re
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.text import train_text_tokenizer
from tests.paths import ROOT

pytest.importorskip("mmpretrain")
pytest.importorskip("sentencepiece")

CONFIGS = {
    "vqa": "vqa/beit3-tiny_vqa_shapes.py",
    "nlvr2": "nlvr2/beit3-tiny_nlvr2_shapes.py",
    "captioning": "captioning/beit3-tiny_captioning_shapes.py",
    "retrieval": "retrieval/beit3-tiny_retrieval_shapes.py",
    "imagenet": "imagenet/beit3-tiny_classes_shapes.py",
}
SHAPES = Config.fromfile(ROOT / "configs" / "_base_" / "tasks_shapes.py").shapes
"""Folder of the data in the configs."""
ARCH = {"embed_dims": 48, "num_layers": 2, "num_heads": 3, "ffn_dims": 96}
QUESTIONS, ANSWERS = "vqa/questions_{}2017.json", "vqa/annotations_{}2017.json"
CAPTIONS, STATEMENTS, LIST = "captions_{}2017.json", "nlvr2/{}.json", "vqa/answers.txt"
NUMBERS = itertools.count()
"""Numbers for experiment names: MMEngine keeps global state by name, and its default name has only the second."""


def make_files(folder):
    """Create the data of all tasks in the official formats, and a checkpoint for each."""
    shapes = make_shapes_dataset(folder / SHAPES, train=8, val=4, size=64)
    train_text_tokenizer((shapes / "texts_train.txt").read_text().splitlines(), shapes / "texts.spm", 45)
    for task, path in CONFIGS.items():
        cfg = Config.fromfile(ROOT / "configs" / path)
        init_default_scope(cfg.default_scope)
        cfg.model.network.arch.update(ARCH)
        # What the config names relative to where it is run from.
        for key in ("answers", "tokenizer"):
            if key in cfg.model:
                cfg.model[key] = str(folder / cfg.model[key])
        del cfg.model["init_cfg"]
        torch.save({"state_dict": MODELS.build(cfg.model).state_dict()}, folder / f"{task}.pth")
    return folder


def arguments(tool, task, *options, checkpoint=None):
    options = [f"experiment_name=errors_{next(NUMBERS)}", *options]
    options = [f"model.network.arch.{name}={value}" for name, value in ARCH.items()] + options
    loaders = ("test",) if tool == "test" else ("train", "val")
    options += [f"{name}_dataloader.{setting}" for name in loaders for setting in ("num_workers=0", "persistent_workers=False")]
    if tool == "train":
        options += ["train_cfg.max_epochs=1", "train_dataloader.batch_size=4"]
        if not any(option.startswith("model.init_cfg") for option in options):
            options.append("model.init_cfg=None")
    config = str(ROOT / "configs" / CONFIGS[task])
    first = [config, str(checkpoint or f"{task}.pth")] if tool == "test" else [config]
    return [*first, "--work-dir", "out", "--cfg-options", *map(str, options)]


def edit(pattern, change, splits=("train", "val")):
    """Change the entries of an annotation file, of whatever list they are in."""

    def editing(data):
        for split in splits:
            path = data / pattern.format("dev" if pattern == STATEMENTS and split == "val" else split)
            if pattern == STATEMENTS:
                lines = [json.loads(line) for line in path.read_text().splitlines()]
                change(lines[0])
                path.write_text("\n".join(map(json.dumps, lines)))
            else:
                content = json.loads(path.read_text())
                change(next(value for value in content.values() if isinstance(value, list))[0])
                path.write_text(json.dumps(content))

    return editing


def overwrite(pattern, content):
    """Content in the place of annotation files; a share of them, if it is a number."""

    def editing(data):
        for split in ("train", "val"):
            path = data / pattern.format("dev" if pattern == STATEMENTS and split == "val" else split)
            whole = path.read_bytes()
            path.write_bytes(whole[: int(len(whole) * content)] if isinstance(content, float) else content)

    return editing


def remove(path):
    def removing(data):
        if (data / path).is_dir():
            shutil.rmtree(data / path)
        else:
            (data / path).unlink()

    return removing


def remove_first(folder, ending):
    def removing(data):
        next(path for path in sorted((data / folder).rglob(f"*{ending}"))).unlink()

    return removing


def small(task):
    """A task's config with the small network, for an inferencer."""
    cfg = Config.fromfile(ROOT / "configs" / CONFIGS[task])
    cfg.model.network.arch.update(ARCH)
    return cfg


def check_one_line(code, error, message):
    """Check that a command ended with status 2 and one line of error that matches the message."""
    assert code == 2, error
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    assert re.search(message.replace("DATA", SHAPES), error), error
