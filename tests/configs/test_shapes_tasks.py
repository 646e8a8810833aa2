"""The tiny task configs train two steps on the shapes dataset and validate, and their examples are drawn."""

import math

import pytest
import torch
from mmengine.config import Config

from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.demos import task_examples
from mmbeit3.models.beit3 import BEiT3
from mmbeit3.runner.build import build_runner
from mmbeit3.text import train_text_tokenizer
from tests.paths import ROOT

pytest.importorskip("mmpretrain")
pytest.importorskip("sentencepiece")

ARCH = {"embed_dims": 48, "num_layers": 2, "num_heads": 3, "ffn_dims": 96, "vocab_size": 64, "max_text_positions": 64}
TASKS = {
    "vqa/beit3-tiny_vqa_shapes.py": ("vqa/score", task_examples.show_answers, "?"),
    "imagenet/beit3-tiny_classes_shapes.py": ("accuracy/top1", task_examples.show_classes, ""),
    "nlvr2/beit3-tiny_nlvr2_shapes.py": ("accuracy/top1", task_examples.show_statements, ""),
    "retrieval/beit3-tiny_retrieval_shapes.py": ("retrieval/mean", task_examples.show_retrieval, ";"),
    "captioning/beit3-tiny_captioning_shapes.py": ("caption/CIDEr", task_examples.show_captions, "true: "),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    shapes = make_shapes_dataset(folder / "data" / "shapes-plain", train=16, val=6, size=128)
    train_text_tokenizer((shapes / "texts_train.txt").read_text().splitlines(), shapes / "texts.spm", 45)
    torch.save({"state_dict": BEiT3({**ARCH, "image_size": 128}).state_dict()}, folder / "pretrained.pth")
    return folder


@pytest.mark.parametrize("path", TASKS)
def test_trains_and_shows_examples(path, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    key, show, sign = TASKS[path]
    cfg = Config.fromfile(ROOT / "configs" / path)
    assert cfg.model.init_cfg.checkpoint == "work_dirs/pretrain-demo/pretraining/iter_1800.pth"
    size = cfg.model.network.arch.image_size
    cfg.model.init_cfg.checkpoint = "pretrained.pth"
    cfg.model.network.arch = {**ARCH, "image_size": size}
    cfg.train_dataloader.dataset.indices = 8
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    cfg.val_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = tmp_path.name
    runner = build_runner(cfg, ("train", "val"))
    before = {name: p.detach().clone() for name, p in runner.model.named_parameters()}
    runner.train()
    assert runner.iter == 2
    moved = [name for name, p in runner.model.named_parameters() if not torch.equal(p, before[name])]
    assert any("vision" in name for name in moved)
    assert math.isfinite(runner.message_hub.get_scalar(f"val/{key}").current())
    rows = show(runner.model.eval(), cfg, 3)
    figures = [figure for row in rows for figure in row]
    assert len(figures) >= 3
    assert all(figure.image.shape == (size, size, 3) and figure.caption for figure in figures)
    assert all(sign in figure.caption for figure in rows[0])
