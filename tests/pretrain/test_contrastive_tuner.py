"""Tuning of a dual encoder through MMEngine's runner, from generated pairs and a checkpoint of masked data modeling."""

import math

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmbeit3.checkpoint import LAYOUTS, load_checkpoint
from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision
from mmbeit3.models.beit3 import BEiT3, DualEncoder
from mmbeit3.pretrain.contrastive_tuner import BEiT3ContrastiveTuner
from mmbeit3.pretrain.pretrainer import BEiT3Pretrainer
from mmbeit3.runner.build import build_runner
from mmbeit3.text import train_text_tokenizer
from tests.goldens import ARCH
from tests.paths import ROOT
from tests.pretrain.test_pretrainer import SIZES

pytest.importorskip("sentencepiece")

SMALL = {**ARCH, "num_layers": 2, "vocab_size": 128}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Write a checkpoint as the runner does."""
    torch.manual_seed(5)
    model = BEiT3Pretrainer({"arch": SMALL}, SIZES)
    path = tmp_path_factory.mktemp("pretrained") / "iter_1.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = make_shapes_dataset(tmp_path_factory.mktemp("tuner") / "data" / "shapes-plain", train=16, val=2, size=64)
    texts = (folder / "texts_train.txt").read_text().splitlines()
    train_text_tokenizer(texts, folder / "texts.spm", 120, model_type="bpe")
    return folder


@pytest.fixture
def cfg(shapes, pretrained, tmp_path, monkeypatch):
    monkeypatch.chdir(shapes.parent.parent)
    cfg = Config.fromfile(ROOT / "configs" / "pretrain" / "beit3-tiny_itc_shapes.py")
    cfg.work_dir = str(tmp_path)
    cfg.model.network.arch = SMALL
    cfg.model.init_cfg.checkpoint = str(pretrained)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.image_size = SMALL["image_size"]
    cfg.train_dataloader.dataset.streams.pairs.batch = 4
    cfg.train_cfg.max_iters = 3
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.interval = 2
    return cfg


def pairs(count=8):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, 60, (count, 6), generator=generator)
    tokens[:, 0] = 0
    # Each patch has one colour: patches of pixel noise would all look the same to a small model.
    image = torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8, generator=generator)
    image = image.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)
    return {"pairs": {"image": image, "tokens": tokens, "padding_mask": torch.zeros(count, 6, dtype=torch.bool)}}


def test_trains_and_resumes_through_the_runner(cfg, tmp_path):
    runner = build_runner(cfg, ("train",))
    runner.train()
    log = next(tmp_path.rglob("*.log")).read_text()
    assert "missing logit_scale, vision_head.weight, language_head.weight" in log
    assert math.isfinite(runner.message_hub.get_scalar("train/loss_itc").current())
    assert runner.message_hub.get_scalar("train/temperature").current() == pytest.approx(0.07, rel=0.02)
    cfg.train_cfg.max_iters = 4
    cfg.resume = True
    runner = build_runner(cfg, ("train",))
    runner.train()
    assert runner.iter == 4
    report = load_checkpoint(DualEncoder(SMALL), tmp_path / "iter_4.pth")
    assert report.missing == report.unused == []


def test_learns_which_text_is_whose():
    torch.manual_seed(0)
    model = BEiT3ContrastiveTuner({"arch": SMALL}).train()
    optimizer = {"type": "AdamW", "lr": 3e-4}
    wrapper = build_optim_wrapper(
        model,
        {"optimizer": optimizer, "constructor": "mmbeit3.LayerDecayOptimWrapperConstructor", "paramwise_cfg": {}},
    )
    data = {"inputs": pairs()}
    logs = [model.train_step(data, wrapper) for _ in range(24)]
    assert set(logs[0]) == {"loss", "loss_itc", "image_to_text.accuracy", "text_to_image.accuracy", "temperature"}
    assert logs[0]["loss"] == logs[0]["loss_itc"]
    # Random guessing among 8 pairs has the loss ln 8.
    assert logs[0]["loss"] > 0.9 * math.log(8)
    assert logs[-1]["loss"] < 0.3 * math.log(8)
    assert logs[-1]["image_to_text.accuracy"] == logs[-1]["text_to_image.accuracy"] == 1


def test_starts_from_ours_and_from_official_files(pretrained, tmp_path):
    source = BEiT3(SMALL)
    official = {name: tensor.half() for name, tensor in LAYOUTS["official"].to_theirs(source.state_dict()).items()}
    torch.save({"model": official}, tmp_path / "official.pth")
    ours = torch.load(pretrained, weights_only=True)["state_dict"]["network.language.layers.1.ffn.fc1.weight"]
    for path, expected in (
        (pretrained, ours),
        (tmp_path / "official.pth", source.language.layers[1].ffn.fc1.weight.half().float()),
    ):
        model = BEiT3ContrastiveTuner({"arch": SMALL}, init_cfg={"type": "Pretrained", "checkpoint": str(path)})
        before = model.network.vision_head.weight.clone()
        model.init_weights()
        assert torch.equal(model.network.language.layers[1].ffn.fc1.weight, expected)
        assert torch.equal(model.network.vision_head.weight, before)


def test_backbones_start_from_what_it_trains(tmp_path):
    model = BEiT3ContrastiveTuner({"arch": SMALL})
    torch.save({"state_dict": model.state_dict()}, tmp_path / "itc.pth")
    backbone = BEiT3Vision(SMALL)
    assert not load_checkpoint(backbone, tmp_path / "itc.pth").missing
    torch.testing.assert_close(backbone.embed.proj.weight, model.network.vision.embed.proj.weight)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda inputs: {"texts": inputs["pairs"]}, "a single stream 'pairs' with kind='pairs', got texts"),
        (lambda inputs: {**inputs, "images": {}}, "got pairs, images"),
        (lambda inputs: {"pairs": {**inputs["pairs"], "masked_words": None}}, r"masking=dict\(image_ratio=None"),
    ],
)
def test_other_streams_are_refused(change, reason):
    with pytest.raises(UserError, match=reason):
        BEiT3ContrastiveTuner({"arch": SMALL})(change(pairs()))


def test_only_for_training():
    with pytest.raises(ValueError, match="no mode 'predict'"):
        BEiT3ContrastiveTuner({"arch": SMALL})(pairs(), mode="predict")
