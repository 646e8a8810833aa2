"""Frozen timm models as teachers: features compared with timm's, grids, and absence from parameters and checkpoints."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from mmbeit3.errors import UserError
from mmbeit3.pretrain.teacher import TimmTeacher

VIT = "vit_tiny_patch16_224"
CLIP = "vit_base_patch16_clip_quickgelu_224.openai"


def timms(name, seed, **options):
    """Build timm's model after seeding the global generators."""
    torch.manual_seed(seed)
    return timm.create_model(name, **options).eval()


@torch.no_grad()
def test_a_vits_patches():
    image = torch.rand(2, 3, 64, 64)
    model = timms(VIT, 3, img_size=64)
    # The whole forward pass, without the class token.
    expected = model.forward_features(image * 2 - 1)[:, 1:]
    teacher = TimmTeacher(VIT, (4, 4), seed=3)
    assert (teacher.dims, teacher.image_size) == (192, (64, 64))
    torch.testing.assert_close(teacher(image), expected)
    earlier = TimmTeacher(VIT, (4, 4), layer=-2, seed=3)(image)
    (inner,) = model.forward_intermediates(image * 2 - 1, indices=[10], intermediates_only=True, output_fmt="NLC")
    torch.testing.assert_close(earlier, inner)


@torch.no_grad()
def test_a_convnets_map_is_row_major():
    image = torch.rand(1, 3, 96, 96)
    model = timms("test_resnet", 0)
    mean, std = (torch.tensor(model.pretrained_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    features = timms("test_resnet", 0, features_only=True, out_indices=[3])((image - mean) / std)[0]
    assert features.shape[2:] == (6, 6)
    teacher = TimmTeacher("test_resnet", (6, 6), layer=3)
    assert teacher.dims == features.shape[1]
    torch.testing.assert_close(teacher(image)[:, 6], features[:, :, 1, 0])


@torch.no_grad()
def test_projects_each_patch_as_clip_its_class_token():
    image = torch.rand(1, 3, 32, 32)
    teacher = TimmTeacher(CLIP, (2, 2), project=True)
    assert teacher.dims == 512
    model = timms(CLIP, 0, img_size=32)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    tokens = model.forward_features((image - mean) / std)
    torch.testing.assert_close(teacher(image), model.head(tokens)[:, 1:])
    # CLIP's image embedding is this projection of the class token.
    torch.testing.assert_close(model.head(tokens)[:, 0], model((image - mean) / std))


@torch.no_grad()
def test_a_norm_after_pooling_is_for_patches_too():
    teacher = TimmTeacher("test_vit4", (2, 2))
    assert isinstance(teacher._net[0].norm, nn.Identity)
    # In this model it is an RMS norm.
    squares = teacher(torch.rand(1, 3, 32, 32)).square().mean(dim=-1)
    torch.testing.assert_close(squares, torch.ones(1, 4), atol=1e-3, rtol=0)


@torch.no_grad()
def test_grids_that_the_model_does_not_have():
    image = torch.rand(2, 3, 64, 64)
    # By default the image is resized so that its patches fit the grid ...
    teacher = TimmTeacher(VIT, (3, 5))
    assert teacher.image_size == (48, 80)
    shown = F.interpolate(image, (48, 80), mode="bicubic", antialias=True).clamp(0, 1)
    torch.testing.assert_close(teacher(image), teacher(shown))
    # ... and with image_size the feature map is resized.
    coarse, fine = (TimmTeacher("test_resnet", (grid, grid), layer=2, image_size=(64, 64)) for grid in (4, 8))
    assert coarse(image).shape[1] == 16
    map_ = fine(image).mT.unflatten(2, (8, 8))
    smaller = F.interpolate(map_, (4, 4), mode="bilinear", antialias=True)
    torch.testing.assert_close(coarse(image), smaller.flatten(2).mT)


def test_is_no_part_of_its_owner():
    owner = nn.ModuleDict({"teacher": TimmTeacher("test_vit", (2, 2))}).train()
    assert not list(owner.parameters())
    assert not owner.state_dict()
    (net,) = owner["teacher"]._net
    assert not any(module.training for module in net.modules())
    assert not any(parameter.requires_grad for parameter in net.parameters())
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    features = owner.to(torch.float64)["teacher"](image)
    assert features.dtype == torch.float64
    assert not features.requires_grad
    assert {p.device.type for p in owner.to("meta")["teacher"]._net[0].parameters()} == {"meta"}


def test_random_weights_are_those_of_the_seed():
    before = torch.get_rng_state()
    first, again, other = (TimmTeacher("test_vit", (2, 2), seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(first(image), again(image), atol=0, rtol=0)
    torch.testing.assert_close(TimmTeacher("test_vit", (2, 2), seed=5)(image), first(image), atol=0, rtol=0)
    assert (first(image) - other(image)).abs().max() > 1e-2


@torch.no_grad()
def test_a_file_is_loaded_and_its_positions_resized(tmp_path):
    model = timms("test_vit", 7)
    save_file(model.state_dict(), tmp_path / "teacher.safetensors")
    image = torch.rand(1, 3, 160, 160)
    side = 160 // 16
    teacher = TimmTeacher("test_vit", (side, side), checkpoint=tmp_path / "teacher.safetensors")
    torch.testing.assert_close(teacher(image), model.forward_features(image * 2 - 1)[:, model.num_prefix_tokens :])
    assert TimmTeacher("test_vit", (4, 4), checkpoint=tmp_path / "teacher.safetensors")(image).shape == (1, 16, 64)
    assert "state_dict" not in teacher._net[0].pretrained_cfg


def test_what_cannot_be_used(tmp_path):
    for options, reason in [
        ({"model": "vit_of_nobody"}, "timm has no model 'vit_of_nobody'"),
        ({"model": "test_vit", "layer": 40}, "has layers 0 to 5, or -1 to -6, not 40"),
        ({"model": "test_resnet", "project": True}, "project=True needs the last layer of a ViT"),
        ({"model": "test_vit", "project": True, "layer": 0}, "project=True needs the last layer of a ViT"),
        ({"model": "test_vit", "checkpoint": tmp_path / "none.pth"}, "does not exist"),
    ]:
        with pytest.raises(UserError, match=reason):
            TimmTeacher(**options, grid=(2, 2))
    save_file({"weight": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"other.safetensors' for 'test_vit' cannot be used") as caught:
        TimmTeacher("test_vit", (2, 2), checkpoint=tmp_path / "other.safetensors")
    assert "\n" not in str(caught.value)
