"""Training of a tokenizer through MMEngine's runner, from images to a checkpoint that gives codes."""

import os

import pytest
import torch
from mmengine.config import Config

from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.pretrain.image_tokenizers import VQKD, load_vqkd, read_vqkd_state
from mmbeit3.pretrain.pretrainer import BEiT3Pretrainer
from mmbeit3.pretrain.tokenizer_trainer import VQKDTrainer
from mmbeit3.runner.build import build_runner
from tests.paths import ROOT
from tests.processes import run_together

SIZES = {"dims": 64, "depth": 1, "image_size": 64, "patch_size": 16, "num_codes": 16, "code_dims": 8, "decoder_depth": 1}
TEACHER = {"model": "test_resnet", "layer": 3}


def trainer(**changes):
    torch.manual_seed(0)
    return VQKDTrainer({**SIZES, **changes}, TEACHER)


def images(count=4, seed=0):
    """Make images of flat patches in a few colours."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.randint(0, 256, (count, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return {"images": {"image": colours.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)}}


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory):
    pytest.importorskip("webdataset")
    folder = tmp_path_factory.mktemp("tokenizer")
    make_shapes_dataset(folder / "data" / "shapes-plain", train=8, val=1, size=64)
    cfg = Config.fromfile(ROOT / "configs" / "pretrain" / "vqkd-tiny_shapes.py")
    cfg.work_dir = str(folder / "work")
    cfg.model = {"type": "mmbeit3.VQKDTrainer", "tokenizer": SIZES, "teacher": TEACHER}
    cfg.randomness = {"seed": 0}
    cfg.train_dataloader.num_workers = 0
    cfg.train_dataloader.persistent_workers = False
    cfg.train_dataloader.dataset.image_size = 64
    cfg.train_dataloader.dataset.streams.images.batch = 4
    cfg.train_cfg.max_iters = 30
    cfg.param_scheduler = []
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.interval = 30
    here = os.getcwd()  # noqa: PTH109
    os.chdir(folder)
    try:
        runner = build_runner(cfg, ("train",))
        runner.train()
    finally:
        os.chdir(here)
    return folder / "work", runner


def test_learns(work_dir):
    hub = work_dir[1].message_hub
    losses = hub.get_scalar("train/loss_reconstruction").data[0]
    assert len(losses) == 30
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()
    for name, most in (("codes_used", 1), ("perplexity", 16)):
        assert 0 < hub.get_scalar(f"train/{name}").current() <= most


def test_the_checkpoint_is_a_tokenizer(work_dir):
    folder, runner = work_dir
    trained = runner.model.tokenizer.eval()
    loaded = load_vqkd(folder / "iter_30.pth")
    torch.testing.assert_close(loaded.state_dict(), trained.state_dict(), atol=0, rtol=0)
    image = images()["images"]["image"] / 255
    codes = load_vqkd(folder / "iter_30.pth", teacher_dims=None, frozen=True).encode(image)
    # Linear layers in training may round differently, see FastOpsHook.
    assert (codes == trained.encode(image)).float().mean() > 0.95
    assert codes.unique().numel() > 1
    torch.testing.assert_close(loaded.decode(codes), trained.decode(codes))


def test_reads_the_tokenizer_of_any_checkpoint(work_dir, tmp_path):
    folder, _ = work_dir
    state = read_vqkd_state(folder / "iter_30.pth")
    saved = torch.load(folder / "iter_30.pth", weights_only=False)["state_dict"]
    # The file does not contain the teacher.
    assert {f"tokenizer.{name}" for name in state} == set(saved)
    arch = {"base": "tiny", "image_size": 64, "vocab_size": 300}
    pretrainer = BEiT3Pretrainer({"arch": arch}, {"checkpoint": folder / "iter_30.pth"})
    torch.save({"state_dict": pretrainer.state_dict()}, tmp_path / "pretraining.pth")
    again = load_vqkd(tmp_path / "pretraining.pth")
    torch.testing.assert_close(again.state_dict(), pretrainer.tokenizer.state_dict(), atol=0, rtol=0)


def test_losses_and_numbers():
    model = trainer().eval()
    inputs = images()
    logged = model(inputs)
    pixels = inputs["images"]["image"] / 255
    features = model.teacher(pixels)
    assert features.shape == (4, 16, model.teacher.dims)
    for name, loss in model.tokenizer(pixels, features).items():
        torch.testing.assert_close(logged[name], loss)
    counts = model.tokenizer.encode(pixels).flatten().bincount(minlength=16)
    assert logged["codes_used"] == (counts > 0).sum() / 16
    entropy = torch.distributions.Categorical(probs=counts.double()).entropy()
    torch.testing.assert_close(logged["perplexity"], entropy.exp().float())
    # MMEngine sums all outputs with "loss" in their name.
    total, _ = model.parse_losses(logged)
    torch.testing.assert_close(total, logged["loss_reconstruction"] + logged["loss_commitment"])


def test_all_that_is_trained_has_a_gradient():
    model = trainer().train()
    model.parse_losses(model(images()))[0].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert all(name.startswith("tokenizer.") for name, _ in model.named_parameters())


def test_sizes():
    with torch.device("meta"):
        model = VQKDTrainer({"preset": "base"}, {"model": "vit_base_patch16_clip_quickgelu_224.openai", "project": True})
        released = VQKD.base(teacher_dims=512)
    shapes, wanted = ({k: v.shape for k, v in net.state_dict().items()} for net in (model.tokenizer, released))
    assert shapes == wanted
    assert model.teacher.image_size == (224, 224)
    assert trainer(dims=128).tokenizer.encoder.blocks[0].attn.heads == 2
    assert trainer(heads=4).tokenizer.encoder.blocks[0].attn.heads == 4


def test_refuses():
    with pytest.raises(ValueError, match="unknown preset of the tokenizer, 'huge'"):
        VQKDTrainer({"preset": "huge"}, TEACHER)
    model = trainer()
    with pytest.raises(ValueError, match="no mode 'predict'"):
        model(images(), mode="predict")
    with pytest.raises(ValueError, match="one stream of images, got a, b"):
        model({"a": {}, "b": {}})
    with pytest.raises(ValueError, match=r"needs images \(B, 3, 64, 64\)"):
        model({"images": {"image": torch.zeros(1, 3, 32, 32, dtype=torch.uint8)}})


def steps(rank, wrap):
    """Run two steps on this rank's images."""
    model = trainer().train()
    wrapped = wrap(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for seed in range(2):
        loss, _ = model.parse_losses(wrapped(images(seed=10 * seed + rank)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.state_dict()


def worker(rank, folder):
    torch.save(steps(rank, torch.nn.parallel.DistributedDataParallel), f"{folder}/{rank}.pt")


def test_two_processes_keep_one_tokenizer(tmp_path):
    run_together(worker, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    alone = steps(0, lambda model: model)
    assert not torch.equal(first["tokenizer.quantize.embedding.weight"], alone["tokenizer.quantize.embedding.weight"])
