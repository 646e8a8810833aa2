"""Position tables of timm's ViTs are resized from grid to grid by every loader."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.models.backbones import TimmViT
from tests.models.vits import DINOV2, build_small, state_of, whole


@pytest.fixture(autouse=True)
def small(monkeypatch):
    return build_small(monkeypatch)


def test_grids_are_compared_and_not_numbers_of_rows():
    wide = TimmViT(DINOV2, image_size=(28, 112))
    square = TimmViT(DINOV2, image_size=56)
    nn.init.normal_(wide.model.pos_embed)
    assert wide.model.pos_embed.shape == square.model.pos_embed.shape
    report = load_checkpoint(square, wide.state_dict())
    assert report.resized == {"model.pos_embed": "2x8 patches to 4x4"}
    as_map = wide.model.pos_embed[:, 1:].unflatten(1, (2, 8)).permute(0, 3, 1, 2)
    resized = F.interpolate(as_map, (4, 4), mode="bicubic", antialias=True).permute(0, 2, 3, 1).flatten(1, 2)
    torch.testing.assert_close(square.model.pos_embed, torch.cat([wide.model.pos_embed[:, :1], resized], dim=1))
    # A table that says nothing is square, in a model that is not as well.
    report = load_checkpoint(wide, square.model.state_dict())
    assert report.resized == {"model.pos_embed": "4x4 patches to 2x8"}
    # What is not square must be told.
    odd = state_of(whole(DINOV2, (28, 70)))
    vit = TimmViT(DINOV2, image_size=(28, 70))
    with pytest.raises(UserError, match=r"11 rows, .* the other 10 form no square grid.* grid=\(h, w\)"):
        load_checkpoint(vit, odd)
    assert load_checkpoint(vit, odd, grid=(2, 5)).resized == {}
    assert load_checkpoint(vit, odd, grid=(5, 2)).resized == {"model.pos_embed": "5x2 patches to 2x5"}
    with pytest.raises(UserError, match="its grid cannot be 3 x 5 patches"):
        load_checkpoint(vit, odd, grid=(3, 5))


def test_grid_in_init_cfg(tmp_path):
    torch.save(state_of(whole(DINOV2, (28, 70))), tmp_path / "wide.pth")
    cfg = {"type": "Pretrained", "checkpoint": str(tmp_path / "wide.pth")}
    with pytest.raises(UserError, match="no square grid"):
        TimmViT(DINOV2, image_size=(28, 70), init_cfg=cfg).init_weights()
    TimmViT(DINOV2, image_size=(28, 70), init_cfg={**cfg, "grid": (2, 5)}).init_weights()


def test_positions_are_resized_whoever_loads_them(tmp_path):
    from mmengine.runner import load_checkpoint as mmengine_loads

    source, ours = TimmViT(DINOV2, image_size=(28, 112)), TimmViT(DINOV2, image_size=(42, 70))
    torch.save({"state_dict": {f"backbone.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "detector.pth")
    detector = nn.ModuleDict({"backbone": TimmViT(DINOV2, image_size=(42, 70))})
    with pytest.warns(
        UserWarning, match=r"backbone\.model\.pos_embed resized from 17 rows to 16 on loading, for 3 x 5 patches"
    ):
        mmengine_loads(detector, str(tmp_path / "detector.pth"), strict=True)
    load_checkpoint(ours, tmp_path / "detector.pth")
    torch.testing.assert_close(detector["backbone"].state_dict(), ours.state_dict())
    assert ours.state_dict()["position_grid"].tolist() == [3, 5]
