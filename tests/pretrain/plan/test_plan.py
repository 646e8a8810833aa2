"""The plan compared with a real step, a real optimizer, FSDP2 and hand calculations."""

import json

import pytest
import torch
from mmengine.config import Config
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.fsdp import fully_shard

from mmbeit3.errors import UserError
from mmbeit3.models.beit3 import Arch, get_arch
from mmbeit3.pretrain import MaskedDataModeling
from mmbeit3.pretrain.plan import make_plan, measure_step, print_plan, with_global_batch, write_plan
from mmbeit3.pretrain.plan.activations import autocast_dtype, fake_pretrainer
from mmbeit3.pretrain.plan.inputs import example_inputs
from mmbeit3.pretrain.plan.weights import padded, weights_of

SIZES = {"embed_dims": 64, "num_layers": 3, "num_heads": 2, "ffn_dims": 250, "image_size": 64, "vocab_size": 300}
TOKENIZER = {"dims": 32, "depth": 1, "heads": 2, "image_size": 64, "patch_size": 16, "num_codes": 40, "code_dims": 8}


def config(**network):
    return Config(
        {
            "model": {"type": "mmbeit3.BEiT3Pretrainer", "network": {"arch": SIZES, **network}, "tokenizer": TOKENIZER},
            "train_dataloader": {
                "dataset": {
                    "image_size": 64,
                    "patch_size": 16,
                    "streams": {
                        "images": {"kind": "images", "batch": 6},
                        "texts": {"kind": "texts", "batch": 6},
                        "pairs": {"kind": "pairs", "batch": 6, "masking": {"text_ratio": 0.5}},
                    },
                }
            },
            "optim_wrapper": {
                "type": "AmpOptimWrapper",
                "dtype": "bfloat16",
                "optimizer": {"type": "AdamW", "lr": 1e-3},
                "constructor": "mmbeit3.LayerDecayOptimWrapperConstructor",
            },
        }
    )


@pytest.fixture(scope="module")
def plan():
    return make_plan(config(attention="shared", num_fusion_layers=1), gpus=4, gather_dtype=torch.bfloat16)


@pytest.mark.parametrize("with_cp", [False, True])
@pytest.mark.parametrize("wrapper", ["OptimWrapper", "AmpOptimWrapper"])
def test_peak_is_that_of_a_real_step(wrapper, with_cp):
    cfg = config()
    cfg.optim_wrapper.type = wrapper
    found = measure_step(cfg, with_cp, "cpu")
    assert found.measured > 1e6
    # Relative to the step alone, which is stricter than relative to the whole peak.
    assert found.predicted == pytest.approx(found.measured, rel=0.15)


def test_checkpointing_and_autocast_matter_as_much_as_they_should(plan):
    rows = {row.name: row for row in plan.memory}
    assert rows["DDP, with_cp"].activations < 0.75 * rows["DDP"].activations
    # Weights gathered in bfloat16 need no copies.
    assert rows["DDP"].activations > rows["FSDP"].activations


def test_what_fsdp_gathers_is_said_by_the_strategy(plan):
    cfg = config(attention="shared", num_fusion_layers=1)
    wide = make_plan(cfg, 4)
    cfg.strategy = {"type": "mmbeit3.FullyShardedStrategy", "param_dtype": "bfloat16"}
    assert make_plan(cfg, 4) == plan
    assert (wide.gather_dtype, plan.gather_dtype) == ("float32", "bfloat16")
    rows = {row.name: row for row in wide.memory}
    assert rows["DDP"].activations == rows["FSDP"].activations
    assert wide.traffic[1].gathered == pytest.approx(2 * plan.traffic[1].gathered, abs=4)
    assert wide.traffic[1].reduced == plan.traffic[1].reduced


def test_weights_gradients_and_optimizer_are_those_of_a_real_one(plan):
    network = MaskedDataModeling(SIZES, num_codes=40, attention="shared", num_fusion_layers=1)
    optimizer = torch.optim.AdamW(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    trained = sum(parameter.numel() for parameter in network.parameters())
    states = sum(value.nbytes for state in optimizer.state.values() for key, value in state.items() if key != "step")
    row = plan.memory[0]
    assert (plan.trained, row.gradients, row.optimizer) == (trained, 4 * trained, states)
    assert row.parameters == 4 * (trained + plan.frozen)
    assert row.total >= row.parameters + row.gradients + row.optimizer + row.exchange


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_shares_are_those_of_fsdp(fake_ranks, ranks):
    mesh = fake_ranks(ranks)
    network = MaskedDataModeling(SIZES, num_codes=40, attention="shared", num_fusion_layers=1)
    weights = weights_of(network, {})
    fully_shard(network, mesh=mesh)
    first = sum(parameter.to_local().untyped_storage().nbytes() for parameter in network.parameters())
    assert 4 * weights.numel(ranks) // ranks == first


@pytest.fixture
def fake_ranks():
    """A fake process group in which this process is rank 0."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    def make(ranks):
        torch.distributed.init_process_group("fake", rank=0, world_size=ranks, store=FakeStore())
        return init_device_mesh("cpu", (ranks,))

    yield make
    torch.distributed.destroy_process_group()


def test_rows_are_padded():
    assert padded((7, 3), 4) == 8 * 3
    assert padded((1, 1, 5), 4) == 4 * 5
    assert padded((8,), 4) == 8


def test_every_weight_is_in_one_unit_and_every_stream_finds_its_own():
    cfg = config(attention="shared", num_fusion_layers=1)
    network = fake_pretrainer(cfg, FakeTensorMode()).network
    weights = weights_of(network, example_inputs(cfg, network.arch))
    assert weights.numel() == sum(parameter.numel() for parameter in network.parameters())
    streams = {unit.name: unit.streams for unit in weights.units}
    assert streams["vision.layers.0.attn.qkv"] == ("images", "texts", "pairs")
    assert streams["vision.layers.0.ffn.fc1"] == ("images", "pairs")
    assert streams["vision.layers.2.ffn.fc2"] == ("images",)
    assert streams["language.layers.2.ffn.fc1"] == ("texts",)
    assert streams["fusion_ffns.2.fc2"] == ("pairs",)
    assert streams["mlm_head"] == ("texts", "pairs")
    assert not any(name.startswith("language") and "attn" in name for name in streams)
    decoupled = fake_pretrainer(config(), FakeTensorMode()).network
    streams = {unit.name: unit.streams for unit in weights_of(decoupled, example_inputs(cfg, network.arch)).units}
    assert streams["vision.layers.2.attn.out"] == ("images", "pairs")


def test_traffic_by_hand(plan):
    """The sizes are multiples of four ranks, except for some biases and heads."""
    cfg = config(attention="shared", num_fusion_layers=1)
    network = fake_pretrainer(cfg, FakeTensorMode()).network
    C, hidden = 64, 252  # 250 rows are padded to 252
    attention = 3 * (3 * C * C + 3 * C + C * C + C)
    ffn = hidden * C + hidden + C * 250 + C
    heads = 40 * C + 40 + 300 * C + 300
    inside = {p for unit in weights_of(network, {}).units for p in network.get_submodule(unit.name).parameters()}
    root = sum(padded(tuple(p.shape), 4) for p in network.parameters() if p not in inside)
    traffic = {way.name: way for way in plan.traffic}
    # Two FFNs per layer, and in the last layer also the fusion FFN.
    assert traffic["FSDP, one pass"].gathered == (2 * (attention + 7 * ffn + heads) + root) * 3 // 4 * 2
    assert traffic["FSDP, one pass"].reduced == (attention + 7 * ffn + heads + root) * 3 // 4 * 4
    # Images: attention of 3 layers, 3 FFNs, 1 head; texts the same; pairs: 2 x 2 FFNs, the fusion FFN, both heads.
    passes = 3 * attention + 11 * ffn + 2 * heads
    assert traffic["FSDP, 3 passes"].gathered == (2 * passes + 3 * root) * 3 // 4 * 2
    assert traffic["DDP"].reduced == 2 * 4 * plan.trained * 3 // 4


def test_more_gpus_share_more_and_compute_the_same(plan):
    one = make_plan(config(attention="shared", num_fusion_layers=1), gpus=1, gather_dtype=torch.bfloat16)
    rows = {row.name: row for row in plan.memory}
    alone = {row.name: row for row in one.memory}
    assert one.flops == plan.flops
    assert alone["DDP"] == rows["DDP"]
    assert rows["FSDP"].optimizer == pytest.approx(alone["FSDP"].optimizer / 4, rel=0.02)
    assert all(way.gathered == way.reduced == 0 for way in one.traffic)


def test_operations_by_hand(plan):
    plain, recomputed = plan.flops
    tokens = 2 * 6 * (16 + 1) + 2 * 6 * 64
    products = 3 * 2 * tokens * (4 * 64 * 64 + 2 * 64 * 250)
    # Attention has two matrix products in the forward pass and five in the backward pass.
    attention = 3 * 6 * 4 * 64 * (17**2 + 64**2 + (17 + 64) ** 2)
    heads = 2 * 6 * 6 * 64 * 40 + 6 * (9 + 31) * 2 * 64 * 300
    patches = 2 * 6 * 16 * 2 * 3 * 16 * 16 * 64
    network = 3 * (products + heads) + 3.5 * attention + 2 * patches  # pixels need no gradient
    assert network < plain < 1.05 * network  # the image tokenizer adds a little
    # Recomputation skips the last product of each layer, as nothing needs its result.
    assert 0.75 * products < recomputed - plain - attention < products


def test_texts_of_a_length():
    arch = Arch(**SIZES, max_text_positions=64)
    inputs = example_inputs(config(), arch)
    assert inputs["texts"]["tokens"].shape == (6, 62)
    assert inputs["texts"]["masked_words"].sum(dim=1).tolist() == [9] * 6
    assert inputs["pairs"]["masked_positions"].sum().item() == 6 * 6
    assert example_inputs(config(), arch, 10)["pairs"]["masked_words"].sum(dim=1).tolist() == [4] * 6
    with pytest.raises(UserError, match="stream 'texts': texts of 63 tokens do not fit: the network takes 3 to 62"):
        example_inputs(config(), arch, 63)


def test_global_batch():
    cfg = config()
    with_global_batch(cfg, 64, 8)
    assert {stream.batch for stream in cfg.train_dataloader.dataset.streams.values()} == {8}
    with pytest.raises(UserError, match="a global batch of 65 cannot be split evenly between 8 GPUs"):
        with_global_batch(cfg, 65, 8)


def test_what_cannot_be_planned():
    with pytest.raises(UserError, match="not a pretraining config"):
        make_plan(Config({"model": {"type": "mmbeit3.BEiT3Vision"}}), 8)
    with pytest.raises(UserError, match=r"model cannot be built: .*'huge'"):
        make_plan(config(arch="huge"), 8)
    with pytest.raises(UserError, match="0 GPUs"):
        make_plan(config(), 0)
    cfg = config()
    cfg.optim_wrapper.optimizer = {"type": "SGD", "lr": 0.1}
    with pytest.raises(UserError, match="optimizer SGD"):
        make_plan(cfg, 8)


def test_dtype_and_streams_without_masking():
    cfg = config()
    for wrapper, dtype in (
        ("OptimWrapper", torch.float32),
        ("AmpOptimWrapper", torch.bfloat16),
        ("mmbeit3.BFloat16OptimWrapper", torch.bfloat16),
    ):
        cfg.optim_wrapper.type = wrapper
        assert autocast_dtype(cfg) == dtype
    inputs = example_inputs(cfg, get_arch("base"))
    cfg.train_dataloader.dataset.streams.images.masking = None
    again = example_inputs(cfg, get_arch("base"))
    assert torch.equal(again["images"]["masked_positions"], inputs["images"]["masked_positions"])


def test_written_and_printed(plan, tmp_path, capsys):
    write_plan(plan, tmp_path / "new" / "plan.json")
    content = json.loads((tmp_path / "new" / "plan.json").read_text())
    assert content["memory"][0] == vars(plan.memory[0])
    print_plan(plan)
    output = capsys.readouterr().out
    assert all(row.name in output for row in (*plan.memory, *plan.traffic))
    assert "…" not in output
