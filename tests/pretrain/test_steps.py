"""From files to training steps: the tiny config on generated data, through MMEngine's runner."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.errors import UserError
from mmbeit3.pretrain.steps import PretrainSteps
from mmbeit3.runner.build import build_runner
from mmbeit3.text import train_text_tokenizer
from tests.paths import ROOT

pytest.importorskip("sentencepiece")
pytest.importorskip("webdataset")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = make_shapes_dataset(tmp_path_factory.mktemp("pretrain") / "data" / "shapes-plain", train=24, val=2, size=64)
    texts = (folder / "texts_train.txt").read_text().splitlines()
    train_text_tokenizer(texts, folder / "texts.spm", 120, model_type="bpe")
    return folder


@pytest.fixture
def cfg(shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(shapes.parent.parent)
    cfg = Config.fromfile(ROOT / "configs" / "pretrain" / "beit3-tiny_mdm_shapes.py")
    cfg.work_dir = str(tmp_path)
    # MMEngine finds visualizers by name, so two runs in the same second would share one.
    cfg.experiment_name = tmp_path.name
    cfg.model.tokenizer.checkpoint = None
    cfg.train_dataloader.num_workers = 0
    cfg.train_dataloader.persistent_workers = False
    for stream in cfg.train_dataloader.dataset.streams.values():
        stream.batch = 2
    cfg.train_cfg.max_iters = 3
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.interval = 2
    return cfg


def test_trains_and_resumes(cfg, tmp_path):
    build_runner(cfg, ("train",)).train()
    assert (tmp_path / "last_checkpoint").read_text().endswith("iter_3.pth")
    cfg.train_cfg.max_iters = 4
    cfg.resume = True
    runner = build_runner(cfg, ("train",))
    runner.train()
    assert runner.iter == 4
    log = runner.message_hub.get_scalar("train/pairs.text.loss")
    assert torch.isfinite(torch.tensor(log.current()))


def test_shows_what_it_fills_in(cfg, tmp_path):
    cfg.default_hooks.reconstruction.update(interval=2, count=1)
    build_runner(cfg, ("train",)).train()
    pictures = sorted(path.name for path in tmp_path.rglob("vis_image/*.png"))
    assert pictures == ["images_2.png", "pairs_2.png"]
    (log,) = tmp_path.glob("*/*.log")
    lines = [line for line in log.read_text().splitlines() if " pairs: " in line]
    assert len(lines) == 1
    assert "[" in lines[0]


def test_steps_are_whole_and_the_same_again(cfg):
    loaders = [Runner.build_dataloader(cfg.train_dataloader, seed=0) for _ in range(2)]
    first, second = (next(iter(loader))["inputs"] for loader in loaders)
    assert set(first) == {"images", "texts", "pairs"}
    assert first["pairs"]["image"].shape == (2, 3, 128, 128)
    assert first["pairs"]["masked_positions"].shape == (2, 8, 8)
    assert (first["texts"]["tokens"][:, 0] == 0).all()
    assert all(torch.equal(first[name][key], second[name][key]) for name in first for key in first[name])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "videos"}, "stream 'pairs': kind must be one of images, texts, pairs, got 'videos'"),
        ({"paths": "nowhere.jsonl"}, "nowhere.jsonl"),
    ],
)
def test_bad_streams(shapes, change, reason):
    stream = {"kind": "pairs", "paths": str(shapes / "pairs_train.jsonl"), "batch": 2, **change}
    with pytest.raises(UserError, match=reason):
        PretrainSteps({"pairs": stream}, 64, 16, str(shapes / "texts.spm"))


def test_texts_want_a_tokenizer(shapes):
    with pytest.raises(UserError, match="'texts' has texts: give tokenizer"):
        PretrainSteps({"texts": {"kind": "texts", "paths": str(shapes / "texts_train.txt"), "batch": 2}}, 64, 16)
