"""Pretraining by two processes over gloo, replicated or sharded, computes what one process does with the whole batch."""

from functools import cache

import pytest
import torch
from mmengine.config import ConfigDict
from torch.distributed.tensor import DTensor

from mmbeit3.engine.strategies import FullyShardedStrategy
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision
from mmbeit3.ops import regions
from mmbeit3.pretrain import MaskedDataModeling
from mmbeit3.pretrain.masking import mask_tokens
from mmbeit3.pretrain.plan.weights import weights_of
from mmbeit3.registry import STRATEGIES
from tests.goldens import ARCH
from tests.processes import run_together

STEPS = 5
BATCH = 4
OPTIMIZER = {
    "type": "OptimWrapper",
    # A large eps, as the direction of a nearly zero gradient would hang on rounding.
    "optimizer": {"type": "AdamW", "lr": 1e-3, "eps": 1e-3, "weight_decay": 0.05},
    "constructor": "mmbeit3.LayerDecayOptimWrapperConstructor",
    "paramwise_cfg": {"layer_decay_rate": 0.9},
    "clip_grad": {"max_norm": 0.5},
}
MODEL = {
    "type": "mmbeit3.BEiT3Pretrainer",
    "network": {"arch": ARCH},
    "tokenizer": {"dims": 64, "depth": 1, "heads": 1, "image_size": 64, "patch_size": 16, "num_codes": 11, "code_dims": 8},
}
TUNER = {"type": "mmbeit3.BEiT3ContrastiveTuner", "network": {"arch": ARCH}}

# MMEngine gives a device by number, which CPUs have not.
REPLICATED = {"type": "DDPStrategy", "model_wrapper": {"type": "MMDistributedDataParallel", "device_ids": None}}
SHARDED = {"type": "mmbeit3.FullyShardedStrategy"}

sharding = pytest.mark.skipif(torch.__version__ < (2, 10), reason="sharding needs PyTorch 2.10")


def batches():
    """Return texts of different lengths, so that ranks have different numbers of masked words."""
    generator = torch.Generator().manual_seed(7)
    found = []
    for _ in range(STEPS):
        words = torch.randint(3, 290, (BATCH, 9), generator=generator)
        padding = torch.arange(9) >= torch.tensor([[9], [8], [4], [3]])
        tokens, masked = mask_tokens(words, padding, 0.5, 299, 290, generator=generator)
        image = torch.randint(256, (2, BATCH, 3, 64, 64), generator=generator, dtype=torch.uint8)
        patches = torch.rand(2, BATCH, 4, 4, generator=generator) < 0.4
        texts = {"tokens": tokens, "padding_mask": padding, "words": words, "masked_words": masked}
        images = [{"image": image[i], "masked_positions": patches[i]} for i in range(2)]
        found.append({"images": images[0], "texts": texts, "pairs": {**images[1], **texts}})
    return found


def share(batch, rank, world_size):
    part = slice(rank * BATCH // world_size, (rank + 1) * BATCH // world_size)
    return {"inputs": {name: {key: value[part] for key, value in stream.items()} for name, stream in batch.items()}}


def unmasked(batch):
    """Return the batch for contrastive tuning."""
    pairs = batch["inputs"]["pairs"]
    return {"inputs": {"pairs": {"image": pairs["image"], "tokens": pairs["words"], "padding_mask": pairs["padding_mask"]}}}


def prepare(strategy, folder, network=None, model=None, start=None):
    built = STRATEGIES.build({"work_dir": str(folder), "log_kwargs": {"log_level": "ERROR"}, **strategy})
    built.start = start
    torch.manual_seed(0)
    model = ConfigDict(model or MODEL)
    model.network.update(network or {})
    built.prepare(model, optim_wrapper=ConfigDict(OPTIMIZER))
    return built


def take_steps(strategy, rank, world_size, count=STEPS):
    strategy.model.train()
    for batch in batches()[:count]:
        given = share(batch, rank, world_size)
        masks = hasattr(getattr(strategy.model, "module", strategy.model), "tokenizer")
        strategy.model.train_step(given if masks else unmasked(given), strategy.optim_wrapper)


SHARED = {"attention": "shared", "num_fusion_layers": 1, "with_cp": True}
COMPILED = {"compile_blocks": True}
CASES = [({}, MODEL, "mlm_head.bias"), (SHARED, MODEL, "mlm_head.bias"), (COMPILED, TUNER, "logit_scale")]


def equal_one(rank, folder, strategy):
    # Without code generation, which takes long on CPUs.
    regions._compiled = cache(lambda function: torch.compile(function, backend="aot_eager", dynamic=True))
    for number, (network, model, _) in enumerate(CASES):
        built = prepare(strategy, folder, network, model)
        if strategy == SHARDED:
            trained = [p for p in built.model.parameters() if p.requires_grad]
            assert sum(p.to_local().numel() for p in trained) < 0.55 * sum(p.numel() for p in trained)
            assert not any(isinstance(p, DTensor) for p in built.model.parameters() if not p.requires_grad)
        take_steps(built, rank, 2)
        norm = float(built.optim_wrapper.message_hub.get_scalar("train/grad_norm").current())
        state = built.model_state_dict()
        if rank == 0:
            weights = {name.removeprefix("module."): value for name, value in state.items()}
            torch.save((weights, norm), f"{folder}/{number}.pt")


@pytest.mark.parametrize("strategy", [REPLICATED, pytest.param(SHARDED, marks=sharding)], ids=["replicated", "sharded"])
def test_two_processes_equal_one(tmp_path, strategy):
    run_together(equal_one, tmp_path, strategy)
    for number, (network, model, moved) in enumerate(CASES):
        eager = {} if network is COMPILED else network
        alone = prepare({"type": "SingleDeviceStrategy"}, tmp_path, eager, model)
        before = {name: value.clone() for name, value in alone.model.state_dict().items()}
        take_steps(alone, 0, 1)
        expected = alone.model.state_dict()
        assert not torch.allclose(expected[f"network.{moved}"], before[f"network.{moved}"])
        found, norm = torch.load(tmp_path / f"{number}.pt")
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")
        assert norm == pytest.approx(alone.optim_wrapper.message_hub.get_scalar("train/grad_norm").current(), rel=1e-3)


def resume(rank, folder):
    whole = prepare(SHARDED, folder)
    take_steps(whole, rank, 2, 3)
    whole.save_checkpoint(f"{folder}/iter_3.pth", extra_ckpt={"meta": {"iter": 3}})
    started = prepare(SHARDED, folder, start=f"{folder}/iter_3.pth").model_state_dict()
    torch.testing.assert_close(started, whole.model_state_dict(), atol=0, rtol=0)
    later = batches()[3:]
    resumed = prepare(SHARDED, folder)
    resumed.resume(f"{folder}/iter_3.pth")
    for built in (whole, resumed):
        for batch in later:
            built.model.train_step(share(batch, rank, 2), built.optim_wrapper)
    ours, theirs = whole.model_state_dict(), resumed.model_state_dict()
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, atol=0, rtol=0)


@sharding
def test_a_sharded_checkpoint_resumes_and_loads_anywhere(tmp_path):
    run_together(resume, tmp_path)
    backbone = BEiT3Vision(ARCH, init_cfg={"type": "Pretrained", "checkpoint": str(tmp_path / "iter_3.pth")})
    backbone.init_weights()
    saved = torch.load(tmp_path / "iter_3.pth", weights_only=False)["state_dict"]
    for name, value in backbone.state_dict().items():
        torch.testing.assert_close(value, saved[f"network.vision.{name}"])


def gathered(rank, folder):
    """Return the bytes that one rank receives in one pass, in three passes, and in one pass with recomputation."""
    found = {}
    for with_cp in (False, True):
        model = prepare(SHARDED, folder, {"with_cp": with_cp, "attention": "shared", "num_fusion_layers": 1}).model
        batch = share(batches()[0], rank, 2)["inputs"]
        for passes in ([batch], [{name: stream} for name, stream in batch.items()]):
            with CountGathered() as count:
                for streams in passes:
                    losses = model(streams)
                    forward = count.bytes
                    sum(value for name, value in losses.items() if name.endswith("loss")).backward()
            found[with_cp, len(passes)] = forward, count.bytes
            model.zero_grad()
        found["weights"] = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    if rank == 0:
        torch.save(found, f"{folder}/gathered.pt")


class CountGathered:
    """Count the bytes gathered by FSDP's function for it, which has another name since PyTorch 2.14."""

    name = "all_gather_single" if hasattr(torch.distributed, "all_gather_single") else "all_gather_into_tensor"

    def __enter__(self):
        self.bytes, self.real = 0, getattr(torch.distributed, self.name)
        setattr(torch.distributed, self.name, self)
        return self

    def __call__(self, output_tensor, *args, **kwargs):
        self.bytes += output_tensor.nbytes
        return self.real(output_tensor, *args, **kwargs)

    def __exit__(self, *args):
        setattr(torch.distributed, self.name, self.real)


@sharding
def test_each_weight_is_gathered_once_in_each_direction(tmp_path):
    """The traffic is that of the plan for a cluster. Recomputing adds none, and three passes need that of each stream."""
    run_together(gathered, tmp_path)
    found = torch.load(tmp_path / "gathered.pt")
    network = MaskedDataModeling(ARCH, 11, attention="shared", num_fusion_layers=1)
    streams = share(batches()[0], 0, 2)["inputs"]
    weights = weights_of(network, streams)
    assert sum(p.numel() for p in network.parameters()) * 4 == found["weights"]
    names = list(streams)
    for with_cp in (False, True):
        for passes in ([names], [[name] for name in names]):
            # A rank has half of them, and receives the other half.
            assert found[with_cp, len(passes)][1] == 2 * 4 * weights.gathered(2, passes)
        assert found[with_cp, 1][0] == 4 * weights.numel(2)


def half_precision(rank, folder):
    batch = share(batches()[0], rank, 2)["inputs"]
    whole, half = (prepare({**SHARDED, "param_dtype": dtype}, folder).model for dtype in (None, "bfloat16"))
    with CountGathered() as count:
        expected = whole(batch)
        all_bytes = count.bytes
        # As MMEngine's AmpOptimWrapper does on GPUs.
        with torch.autocast("cpu", torch.bfloat16):
            found = half(batch)
    assert count.bytes - all_bytes < 0.51 * all_bytes
    for name in expected:
        if name.endswith("loss"):
            torch.testing.assert_close(found[name], expected[name], atol=0.05, rtol=0.02)
            assert found[name].item() != expected[name].item()
    sum(value for name, value in found.items() if name.endswith("loss")).backward()
    assert half.network.mim_head.weight.grad.dtype == torch.float32


@sharding
def test_weights_gathered_in_half_precision(tmp_path):
    run_together(half_precision, tmp_path)


def wide_step(rank, folder):
    sizes = {"arch": {"base": "base", "num_layers": 3}, "with_cp": True}
    built = STRATEGIES.build({"work_dir": folder, "log_kwargs": {"log_level": "ERROR"}, **SHARDED})
    model = ConfigDict({**MODEL, "network": sizes, "tokenizer": {**MODEL["tokenizer"], "image_size": 224}})
    built.prepare(model, optim_wrapper=ConfigDict(OPTIMIZER))
    generator = torch.Generator().manual_seed(rank)
    words = torch.randint(3, 64000, (1, 12), generator=generator)
    texts = {"tokens": words, "padding_mask": words < 0, "words": words, "masked_words": words % 2 == 0}
    image = torch.randint(256, (1, 3, 224, 224), generator=generator, dtype=torch.uint8)
    images = {"image": image, "masked_positions": torch.rand(1, 14, 14, generator=generator) < 0.4}
    before = built.model.network.mlm_head.weight.to_local().clone()
    batch = {"images": images, "texts": texts, "pairs": {**images, **texts}}
    log = built.model.train_step({"inputs": batch}, built.optim_wrapper)
    assert torch.isfinite(log["loss"])
    assert not torch.equal(built.model.network.mlm_head.weight.to_local(), before)


@sharding
def test_a_step_with_the_width_of_base(tmp_path):
    run_together(wide_step, tmp_path)


@sharding
def test_optimizers_of_unsharded_training_are_refused():
    with pytest.raises(UserError, match="saved without FullyShardedStrategy"):
        FullyShardedStrategy().load_optim_state_dict({"state": {0: {}}, "param_groups": []})


@sharding
def test_unknown_types_are_refused():
    with pytest.raises(UserError, match="unknown dtype 'bf16'"):
        FullyShardedStrategy(param_dtype="bf16")


def test_older_versions_of_pytorch_are_refused(monkeypatch):
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.9.1"))
    with pytest.raises(UserError, match=r"needs PyTorch 2.10 or newer, but 2.9.1 is installed"):
        FullyShardedStrategy()
