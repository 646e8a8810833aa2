"""Position tables know their grid: as many rows do not make 2 x 8 patches 4 x 4."""

import copy
import pickle
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from mmbeit3.checkpoint import convert, load_checkpoint, load_weights, read_lazily, read_state_dict, write_checkpoint
from mmbeit3.checkpoint.resizing import grid_of_rows
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision
from mmbeit3.models.beit3 import BEiT3
from tests.goldens import ARCH


def vision(height, width):
    """A tower whose table has so many rows and columns."""
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
def test_grids_are_compared(old, new, loader):
    source, target = vision(*old), vision(*new)
    state = source.state_dict()
    if loader == "ours":
        assert set(load_checkpoint(target, state).resized) == {"embed.positions"}
    else:
        with pytest.warns(UserWarning, match=f"embed.positions resized .* for {new[0]} x {new[1]} patches"):
            target.load_state_dict(state)
    torch.testing.assert_close(target.embed.positions, resized(source.embed.positions, old, new))
    assert target.state_dict().get("embed.position_grid", torch.tensor(new)).tolist() == list(new)
    # The state dict that was given is as it was.
    assert state.keys() == source.state_dict().keys()


def test_square_tables_have_the_names_that_they_had():
    assert not [name for name in BEiT3(ARCH).state_dict() if "grid" in name]
    assert not [name for name in vision(4, 4).state_dict() if "grid" in name]
    assert vision(2, 8).state_dict()["embed.position_grid"].tolist() == [2, 8]


def test_same_grid_is_taken_as_it_is(tmp_path):
    source, target = vision(2, 8), vision(2, 8)
    save_file(source.state_dict(), tmp_path / "vision.safetensors")
    report = load_checkpoint(target, tmp_path / "vision.safetensors")
    assert report.resized == {}
    assert report.missing == report.unused == []
    torch.testing.assert_close(target.state_dict(), source.state_dict())
    detector = nn.ModuleDict({"backbone": vision(2, 8)})
    state = {f"backbone.{name}": tensor for name, tensor in load_file(tmp_path / "vision.safetensors").items()}
    write_checkpoint(state, tmp_path / "detector.pth")
    load_weights(detector, tmp_path / "detector.pth")
    torch.testing.assert_close(detector["backbone"].state_dict(), source.state_dict())


def test_copies_keep_their_grid():
    source = vision(2, 8)
    for copied in (copy.deepcopy(source), pickle.loads(pickle.dumps(source))):
        copied.load_state_dict(source.state_dict())
        torch.testing.assert_close(copied.state_dict(), source.state_dict())
        with pytest.warns(UserWarning, match="for 2 x 8 patches"):
            copied.load_state_dict(vision(4, 4).state_dict())


def older(model):
    """A model's state dict as it was before grids were kept, with the versions that PyTorch puts into ``.pth`` files."""
    state = model.state_dict()
    for name in [name for name in state if "position_grid" in name]:
        del state[name]
    for entry in state._metadata.values():
        entry["version"] = 1
    return state


def test_files_that_do_not_say_their_grid(tmp_path):
    odd = older(vision(2, 5))
    with pytest.raises(UserError, match=r"13 rows is 3 \+ no square grid .* grid=\(h, w\) in init_cfg") as error:
        load_checkpoint(vision(2, 5), odd)
    assert "\n" not in str(error.value)
    target = vision(2, 5)
    assert load_checkpoint(target, odd, grid=(2, 5)).resized == {}
    assert torch.equal(target.embed.positions, odd["embed.positions"])
    path = tmp_path / "odd.pth"
    torch.save(odd, path)
    told = BEiT3Vision(
        {**ARCH, "num_layers": 1},
        image_size=(32, 80),
        init_cfg={"type": "Pretrained", "checkpoint": str(path), "grid": (2, 5)},
    )
    told.init_weights()
    assert torch.equal(told.embed.positions, odd["embed.positions"])


# safetensors say no versions, so that 2 x 8 would be taken for 4 x 4.
@pytest.mark.parametrize(
    ("kind", "grid"), [("pth", (2, 8)), ("pth", (2, 5)), ("pth", (4, 4)), ("safetensors", (2, 5)), ("safetensors", (4, 4))]
)
@pytest.mark.parametrize("loader", ["PyTorch", "MMEngine", "ours"])
@pytest.mark.filterwarnings("error")
def test_whole_models_of_before_grids_were_kept(grid, kind, loader, tmp_path):
    """As where a training is resumed: tables stay as they are, and nothing is said to be missing."""
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
        load_weights(target, path)
    torch.testing.assert_close(target.state_dict(), source.state_dict())


def test_versions_in_files_are_data(tmp_path):
    state = older(nn.ModuleDict({"backbone": vision(2, 5)}))
    state._metadata = OrderedDict({"backbone": {"version": "1"}, "x": 3, 5: {"version": 1}, "backbone.embed": {"version": 1}})
    torch.save(state, tmp_path / "odd.pth")
    assert read_state_dict(tmp_path / "odd.pth")._metadata == {"backbone.embed": {"version": 1}}


@pytest.mark.parametrize("told", [(4, 5), (-4, -4), (0, 0), 16, (4,), (2, 2, 4), torch.tensor([torch.nan, 4]), torch.empty(0)])
def test_wrong_grids_are_refused(told):
    with pytest.raises(UserError, match=r"is of no grid|must be its rows and columns"):
        grid_of_rows(17, 1, told)


def test_grid_of_rows():
    assert grid_of_rows(17, 1) == (4, 4)
    assert grid_of_rows(17, 1, torch.tensor([2, 8])) == (2, 8)
    assert grid_of_rows(17, 1, native=(8, 2)) == (8, 2)
    assert grid_of_rows(17, 1, native=(8, 3)) == (4, 4)


def test_other_layouts_have_no_place_for_a_grid(tmp_path):
    write_checkpoint(vision(2, 8).state_dict(), tmp_path / "vision.safetensors")
    lazy = read_lazily(tmp_path / "vision.safetensors")
    with pytest.raises(UserError, match=r"no place for vision\.embed\.position_grid"):
        convert(lazy, "official")
    assert convert(lazy, "mmbeit3").tensors.keys() == lazy.keys()
