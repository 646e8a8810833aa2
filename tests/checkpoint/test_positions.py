"""Grids of position tables: tables of 2 x 8 and 4 x 4 patches have the same number of rows but differ."""

import copy
import pickle
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from mmbeit3.checkpoint import convert, load_checkpoint, read_lazily, read_state_dict, write_checkpoint
from mmbeit3.checkpoint.resizing import grid_of_rows
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision
from mmbeit3.models.beit3 import BEiT3
from tests.goldens import ARCH


def vision(height, width):
    """Build a tower whose position table has this grid."""
    made = BEiT3Vision({**ARCH, "num_layers": 1}, image_size=(16 * height, 16 * width))
    nn.init.normal_(made.embed.positions)
    return made


def resized(table, old, new):
    patches = F.interpolate(table[3:].T.reshape(1, -1, *old), new, mode="bicubic").flatten(2)[0].T
    return torch.cat([table[:3], patches])


@pytest.mark.parametrize(
    ("old", "new"), [((2, 8), (4, 4)), ((4, 4), (2, 8)), ((2, 8), (8, 2)), ((2, 8), (3, 5)), ((3, 3), (4, 4))]
)
@pytest.mark.parametrize("loader", ["ours", "state dict"])
def test_table_of_another_grid_is_resized(old, new, loader):
    source, target = vision(*old), vision(*new)
    state = source.state_dict()
    if loader == "ours":
        assert set(load_checkpoint(target, state).resized) == {"embed.positions"}
    else:
        with pytest.warns(UserWarning, match=f"embed.positions resized .* for {new[0]} x {new[1]} patches"):
            target.load_state_dict(state)
    torch.testing.assert_close(target.embed.positions, resized(source.embed.positions, old, new))
    assert target.state_dict().get("embed.position_grid", torch.tensor(new)).tolist() == list(new)
    # The source state dict is unchanged.
    assert state.keys() == source.state_dict().keys()


def test_square_grid_is_not_stored():
    assert not [name for name in BEiT3(ARCH).state_dict() if "grid" in name]
    assert not [name for name in vision(4, 4).state_dict() if "grid" in name]
    assert vision(2, 8).state_dict()["embed.position_grid"].tolist() == [2, 8]


def test_table_of_same_grid_is_unchanged(tmp_path):
    source, target = vision(2, 8), vision(2, 8)
    save_file(source.state_dict(), tmp_path / "vision.safetensors")
    report = load_checkpoint(target, tmp_path / "vision.safetensors")
    assert report.resized == {}
    assert report.missing == report.unused == []
    torch.testing.assert_close(target.state_dict(), source.state_dict())
    detector = nn.ModuleDict({"backbone": vision(2, 8)})
    state = {f"backbone.{name}": tensor for name, tensor in load_file(tmp_path / "vision.safetensors").items()}
    write_checkpoint(state, tmp_path / "detector.pth")
    load_checkpoint(detector, tmp_path / "detector.pth", strict=True)
    torch.testing.assert_close(detector["backbone"].state_dict(), source.state_dict())


def test_copies_keep_their_grid():
    source = vision(2, 8)
    for copied in (copy.deepcopy(source), pickle.loads(pickle.dumps(source))):
        copied.load_state_dict(source.state_dict())
        torch.testing.assert_close(copied.state_dict(), source.state_dict())
        with pytest.warns(UserWarning, match="for 2 x 8 patches"):
            copied.load_state_dict(vision(4, 4).state_dict())


def older(model):
    """Return a model's state dict as written before grids were stored, with PyTorch's version metadata of ``.pth`` files."""
    state = model.state_dict()
    for name in [name for name in state if "position_grid" in name]:
        del state[name]
    for entry in state._metadata.values():
        entry["version"] = 1
    return state


def test_file_without_grid(tmp_path):
    odd = older(vision(2, 5))
    with pytest.raises(UserError, match=r"13 rows, .* the other 10 form no square grid.* grid=\(h, w\) in init_cfg") as error:
        load_checkpoint(vision(2, 5), odd)
    assert "\n" not in str(error.value)
    target = vision(2, 5)
    assert load_checkpoint(target, odd, grid=(2, 5)).resized == {}
    assert torch.equal(target.embed.positions, odd["embed.positions"])
    path = tmp_path / "odd.pth"
    torch.save(odd, path)
    model = BEiT3Vision(
        {**ARCH, "num_layers": 1},
        image_size=(32, 80),
        init_cfg={"type": "Pretrained", "checkpoint": str(path), "grid": (2, 5)},
    )
    model.init_weights()
    assert torch.equal(model.embed.positions, odd["embed.positions"])


# safetensors files have no version metadata, so 2 x 8 would be taken for 4 x 4.
@pytest.mark.parametrize(
    ("kind", "grid"), [("pth", (2, 8)), ("pth", (2, 5)), ("pth", (4, 4)), ("safetensors", (2, 5)), ("safetensors", (4, 4))]
)
@pytest.mark.parametrize("loader", ["PyTorch", "MMEngine", "ours"])
@pytest.mark.filterwarnings("error")
def test_whole_model_from_before_grids_were_stored(grid, kind, loader, tmp_path):
    """As when resuming a training: tables are unchanged, and no name is reported missing."""
    from mmengine.runner.checkpoint import load_state_dict

    source, target = (nn.ModuleDict({"backbone": vision(*grid)}) for _ in range(2))
    state, path = older(source), tmp_path / f"whole.{kind}"
    torch.save({"state_dict": state}, path) if kind == "pth" else save_file(state, path)
    content = torch.load(path)["state_dict"] if kind == "pth" else load_file(path)
    if loader == "PyTorch":
        assert str(target.load_state_dict(content)) == "<All keys matched successfully>"
    elif loader == "MMEngine":
        load_state_dict(target, content, strict=True)
    else:
        load_checkpoint(target, path, strict=True)
    torch.testing.assert_close(target.state_dict(), source.state_dict())


def test_invalid_versions_in_file_are_ignored(tmp_path):
    state = older(nn.ModuleDict({"backbone": vision(2, 5)}))
    state._metadata = OrderedDict({"backbone": {"version": "1"}, "x": 3, 5: {"version": 1}, "backbone.embed": {"version": 1}})
    torch.save(state, tmp_path / "odd.pth")
    assert read_state_dict(tmp_path / "odd.pth")._metadata == {"backbone.embed": {"version": 1}}


@pytest.mark.parametrize("grid", [(4, 5), (-4, -4), (0, 0), 16, (4,), (2, 2, 4), torch.tensor([torch.nan, 4]), torch.empty(0)])
def test_wrong_grid_is_refused(grid):
    with pytest.raises(UserError, match=r"17 rows, 1 of them before .* its grid cannot be|must be two integers \(h, w\)"):
        grid_of_rows(17, 1, grid)


def test_grid_of_rows():
    assert grid_of_rows(17, 1) == (4, 4)
    assert grid_of_rows(17, 1, torch.tensor([2, 8])) == (2, 8)
    assert grid_of_rows(17, 1, native=(8, 2)) == (8, 2)
    assert grid_of_rows(17, 1, native=(8, 3)) == (4, 4)


def test_other_layouts_cannot_store_a_grid(tmp_path):
    write_checkpoint(vision(2, 8).state_dict(), tmp_path / "vision.safetensors")
    lazy = read_lazily(tmp_path / "vision.safetensors")
    with pytest.raises(UserError, match=r"no place for vision\.embed\.position_grid"):
        convert(lazy, "official")
    assert convert(lazy, "mmbeit3").tensors.keys() == lazy.keys()
