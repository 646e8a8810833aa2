import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from mmbeit3.checkpoint import LAYOUTS, convert, load_checkpoint, read_lazily, read_state_dict
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision, ViTAdapter
from mmbeit3.models.beit3 import BEiT3
from tests.goldens import ARCH


def official(model):
    return LAYOUTS["official"].to_theirs(model.state_dict())


def test_official_names_and_shapes():
    state = official(BEiT3(ARCH))
    assert state["beit3.encoder.layers.3.self_attn.v_proj.A.weight"].shape == (48, 48)
    assert state["beit3.encoder.layers.0.ffn.B.fc1.weight"].shape == (192, 48)
    assert state["beit3.encoder.embed_positions.A.weight"].shape == (19, 48)
    assert all(name.startswith("beit3.") for name in state)


def test_round_trip_through_official_layout():
    state = BEiT3(ARCH).state_dict()
    there = LAYOUTS["official"].to_theirs(state)
    back = LAYOUTS["official"].to_ours(there)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize("kind", ["pth", "safetensors", "zip name"])
def test_official_half_precision_file(tmp_path, kind):
    source = BEiT3(ARCH)
    state = {name: tensor.half().contiguous() for name, tensor in official(source).items()}
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth" if kind == "pth" else "weights.zip")
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save({"model": state}, path)
    model = BEiT3(ARCH)
    report = load_checkpoint(model, path)
    assert report.layout == "official"
    assert report.missing == report.unused == []
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, source.state_dict()[name].half().float())


def test_backbone_loads_from_full_model_and_detector():
    source = BEiT3(ARCH)
    plain = BEiT3Vision(ARCH, final_norm=True)
    report = load_checkpoint(plain, official(source))
    assert report.missing == []
    assert all("language" in name or "mask_token" in name for name in report.unused)
    torch.testing.assert_close(plain.layers[2].attn.qkv.weight, source.vision.layers[2].attn.qkv.weight)

    detector = {f"backbone.{name}": tensor for name, tensor in plain.state_dict().items()} | {"neck.conv.weight": torch.ones(1)}
    again = BEiT3Vision(ARCH, final_norm=True)
    report = load_checkpoint(again, {"module." + name: tensor for name, tensor in detector.items()})
    assert report.missing == []
    assert report.unused == ["neck.conv.weight"]
    torch.testing.assert_close(again.state_dict(), plain.state_dict())


def test_positions_and_patch_kernel_are_resized():
    source = BEiT3({**ARCH, "patch_size": 14, "image_size": 56})
    model = BEiT3Vision(ARCH, image_size=(64, 112))
    report = load_checkpoint(model, official(source))
    assert set(report.resized) == {"embed.positions", "embed.proj.weight"}
    assert model.embed.positions.shape == (3 + 4 * 7, 48)
    torch.testing.assert_close(model.embed.positions[:3], source.vision.embed.positions[:3])
    # An image of one value gives the same tokens with both patch sizes.
    flat = torch.full((1, 3, 112, 112), 0.7)
    mine = model.embed.proj(flat)[..., 0, 0]
    theirs = source.vision.embed.proj(flat)[..., 0, 0]
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("arch", "named"),
    [({"embed_dims": 96}, "48 wide with 4 layers"), ({"num_layers": 6}, "48 wide with 4 layers"), ({"ffn_dims": 96}, "192x48")],
)
def test_other_arch_is_refused_with_both_sizes(arch, named):
    model = BEiT3Vision({**ARCH, **arch})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError, match=named):
        load_checkpoint(model, official(BEiT3(ARCH)))
    torch.testing.assert_close(model.state_dict(), before)


def test_init_cfg_loads_and_unrelated_file_is_refused(tmp_path):
    source = BEiT3(ARCH)
    path = tmp_path / "official.pth"
    torch.save({"model": official(source)}, path)
    vit = {"type": "mmbeit3.BEiT3Vision", "arch": ARCH, "init_cfg": {"type": "Pretrained", "checkpoint": str(path)}}
    model = ViTAdapter(vit, [(i, i) for i in range(4)], conv_inplane=8, deform_num_heads=3, norm_cfg={"type": "BN"})
    model.init_weights()
    torch.testing.assert_close(model.vit.layers[0].ffn.fc1.weight, source.vision.layers[0].ffn.fc1.weight)
    with pytest.raises(UserError, match="has no weights for BEiT3Vision"):
        load_checkpoint(BEiT3Vision(ARCH), {"conv1.weight": torch.ones(3)})


class RunsCode:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_checkpoint_does_not_run(tmp_path, legacy):
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    content = {"model": {"weight": torch.ones(2)}, "extra": RunsCode(f"touch {marker}")}
    if legacy:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=r"evil\.pth"):
        read_state_dict(path)
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
@pytest.mark.parametrize("keep", [0, 5, 60, 0.5, 0.95])
def test_truncated_files(tmp_path, kind, keep):
    path = tmp_path / f"cut.{kind}"
    state = {"a.weight": torch.randn(50, 50), "b.weight": torch.randn(50, 50)}
    save_file(state, path) if kind == "safetensors" else torch.save({"model": state}, path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if keep >= 5 or keep == 0 else int(keep * len(content))])
    with pytest.raises(UserError, match="cut") as error:
        read_state_dict(path)
    assert "\n" not in str(error.value)


def test_missing_file_and_file_without_weights(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_state_dict(tmp_path / "none.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(UserError, match="has no weights"):
        read_state_dict(tmp_path / "empty.pth")


def test_mmengine_checkpoint_is_read(tmp_path):
    """MMEngine stores log histories and NumPy values beside the weights."""
    import numpy as np
    from mmengine.logging import HistoryBuffer

    buffer = HistoryBuffer()
    buffer.update(np.float64(0.5), 2)
    content = {
        "state_dict": {"weight": torch.ones(2)},
        "message_hub": {"log": buffer, "best": np.float64(0.1), "n": np.int64(3)},
    }
    torch.save(content, tmp_path / "epoch_1.pth")
    assert torch.equal(read_state_dict(tmp_path / "epoch_1.pth")["weight"], torch.ones(2))


def test_positions_are_resized_by_mmengine_loader(tmp_path):
    """``load_from`` needs this: the two stages of the COCO and ADE20K configs have different image sizes."""
    from mmengine.runner import load_checkpoint as mmengine_loads

    class Detector(torch.nn.Module):
        def __init__(self, image_size):
            super().__init__()
            self.backbone = BEiT3Vision({"base": "tiny", "num_layers": 1}, image_size=image_size)

    small, large, ours = Detector(64), Detector(96), Detector(96)
    torch.nn.init.normal_(small.backbone.embed.positions)
    torch.save({"state_dict": small.state_dict()}, tmp_path / "small.pth")
    with pytest.warns(UserWarning, match="backbone.embed.positions resized from 19 rows to 39"):
        mmengine_loads(large, str(tmp_path / "small.pth"))
    load_checkpoint(ours.backbone, tmp_path / "small.pth")
    assert torch.equal(large.backbone.embed.positions, ours.backbone.embed.positions)
    assert torch.equal(large.backbone.embed.positions[:3], small.backbone.embed.positions[:3])


@pytest.mark.parametrize("prefix", ["module.", "model.", "net.", "module.model._orig_mod."])
@pytest.mark.parametrize("layout", ["official", "mmbeit3", "timm"])
def test_wrappers_of_training_programs(tmp_path, prefix, layout):
    """A Lightning module has the model under an attribute of any name, with losses beside it."""
    source = BEiT3(ARCH)
    state = source.state_dict()
    if layout == "timm":
        state = {name: tensor for name, tensor in state.items() if name.startswith("vision.") and "mask_token" not in name}
    content = {f"{prefix}{name}": tensor for name, tensor in LAYOUTS[layout].to_theirs(state).items()}
    torch.save({"state_dict": {**content, "criterion.weight": torch.ones(3)}, "epoch": 3}, tmp_path / "last.ckpt")
    model = BEiT3Vision(ARCH)
    report = load_checkpoint(model, tmp_path / "last.ckpt")
    assert report.missing == []
    assert report.layout == layout
    assert "criterion.weight" in report.unused
    assert torch.equal(model.layers[3].ffn.fc2.weight, source.vision.layers[3].ffn.fc2.weight)
    done = convert(read_lazily(tmp_path / "last.ckpt"), "official", vision_only=True)
    assert "criterion.weight" in done.left_out
    with pytest.raises(UserError, match=r"no place for criterion\.weight"):
        convert(read_lazily(tmp_path / "last.ckpt"), layout)


class Segmentor(torch.nn.Module):
    def __init__(self, image_size=64):
        super().__init__()
        self.backbone = BEiT3Vision({**ARCH, "num_layers": 1}, image_size=image_size)
        self.head = torch.nn.Conv2d(48, 5, 1)


def test_strict_loads_same_model(tmp_path):
    source, model = Segmentor((32, 128)), Segmentor((32, 128))
    torch.save({"state_dict": source.state_dict()}, tmp_path / "epoch_1.pth")
    for given in (tmp_path / "epoch_1.pth", source.state_dict()):
        report = load_checkpoint(model, given, strict=True)
        torch.testing.assert_close(model.state_dict(), source.state_dict())
        assert (report.missing, report.unused, report.resized, report.layout) == ([], [], {}, "mmbeit3")
        assert set(report.loaded) == set(source.state_dict()) - {"backbone.embed.position_grid"}


def test_strict_resizes_table_of_another_grid():
    """The number of rows is the same, so only the stored grid tells that the table differs."""
    source, model = Segmentor((32, 128)), Segmentor((128, 32))
    torch.nn.init.normal_(source.backbone.embed.positions)
    with pytest.warns(UserWarning, match="for 8 x 2 patches"):
        report = load_checkpoint(model, source.state_dict(), strict=True)
    assert report.resized == {"backbone.embed.positions": "another grid"}
    assert not torch.equal(model.backbone.embed.positions, source.backbone.embed.positions)


BIAS = "head.bias"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop(BIAS), "does not match the model: the file lacks head.bias. Use the config"),
        (lambda state: state.update(more=torch.ones(2)), "does not match the model: the model lacks more. Use the config"),
        (lambda state: state.update(more=state.pop(BIAS)), "the file lacks head.bias, and the model lacks more"),
        (lambda state: state.update({BIAS: torch.ones(4)}), "head.bias has shape 4 in the file and 5 in the model"),
        (lambda state: state.update({BIAS: torch.ones(5).long()}), "head.bias has type int64 in the file and float32"),
        (lambda state: state.update({BIAS: torch.full((5,), torch.nan)}), "has NaN or infinity in head.bias"),
        (lambda state: state.update({"backbone.embed.position_grid": torch.tensor([3, 5])}), "its grid cannot be 3 x 5"),
    ],
)
def test_strict_refuses_any_difference(change, said):
    model = Segmentor((32, 128))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = Segmentor((32, 128)).state_dict()
    change(state)
    with pytest.raises(UserError, match=said):
        load_checkpoint(model, state, strict=True)
    torch.testing.assert_close(model.state_dict(), before)


def test_strict_translates_neither_wrappers_nor_official_names():
    model = BEiT3({**ARCH, "num_layers": 1})
    for state in (official(model), {f"module.{name}": tensor for name, tensor in model.state_dict().items()}):
        assert load_checkpoint(BEiT3(model.arch), state).missing == []
        with pytest.raises(UserError, match="does not match the model"):
            load_checkpoint(model, state, strict=True)


@pytest.mark.parametrize("option", [{"new_head": True}, {"grid": (4, 4)}])
def test_strict_excludes_options_that_change_weights(option):
    with pytest.raises(ValueError, match="cannot be combined"):
        load_checkpoint(BEiT3Vision(ARCH), {}, strict=True, **option)
