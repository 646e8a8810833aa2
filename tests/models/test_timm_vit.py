import pytest
import timm
import torch

from mmbeit3.models.backbones import TimmViT, ViTAdapter

MODELS = [
    "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2",
    "vit_small_patch16_dinov3",
    "eva02_tiny_patch14_224",
    "vit_tiny_patch16_224",
    "vit_base_patch16_siglip_224",
]


def small(name, **kwargs):
    """Build the model with two blocks, through timm's arguments."""
    original = timm.create_model

    def create(model, **options):
        return original(model, depth=2, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm, "create_model", create)
        return TimmViT(name, **kwargs).eval()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("cells", [(4, 4), (3, 5)])
def test_equals_timm_at_any_size(name, cells):
    vit = small(name, image_size=112, final_norm=True)
    image = torch.randn(2, 3, cells[0] * vit.patch_size, cells[1] * vit.patch_size)
    with torch.no_grad():
        tokens, grid = vit.embed_image(image)
        assert grid == cells
        tokens = vit.normalize(vit.run(vit.run(tokens, grid, 0, 1), grid, 1, 2))
        torch.testing.assert_close(tokens, vit.model.forward_features(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS[:4])
def test_pads_to_the_patch(name):
    vit = small(name, image_size=112)
    p = vit.patch_size
    image = torch.randn(1, 3, 3 * p - 5, 2 * p + 1)
    padded = torch.zeros(1, 3, 3 * p, 3 * p)
    padded[:, :, : 3 * p - 5, : 2 * p + 1] = image
    with torch.no_grad():
        torch.testing.assert_close(vit(image), vit(padded))


@pytest.mark.parametrize("name", ["vit_small_patch14_reg4_dinov2", "eva02_tiny_patch14_224"])
def test_checkpointing_changes_nothing(name):
    vit = small(name, image_size=56).train()
    image = torch.randn(1, 3, 56, 56)
    gradients = []
    for with_cp in (False, True):
        vit.with_cp = with_cp
        vit.zero_grad()
        vit(image)[0].square().sum().backward()
        gradients.append([p.grad.clone() for p in vit.parameters()])
    torch.testing.assert_close(*gradients)


def test_every_parameter_is_used():
    vit = small("vit_base_patch16_siglip_224", image_size=64).train()
    vit(torch.randn(1, 3, 64, 64))[0].sum().backward()
    assert [name for name, p in vit.named_parameters() if p.grad is None] == []


def test_frozen_stages():
    vit = small("vit_small_patch14_reg4_dinov2", image_size=56, frozen_stages=1).train()
    trained = {name for name, p in vit.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith("model.blocks.1.") for name in trained)
    assert not vit.model.blocks[0].training
    assert vit.model.blocks[1].training


def test_inside_an_adapter():
    with pytest.MonkeyPatch.context() as patch:
        original = timm.create_model
        patch.setattr(timm, "create_model", lambda name, **options: original(name, depth=4, **options))
        adapter = ViTAdapter(
            {"type": "mmbeit3.TimmViT", "model_name": "vit_small_patch14_reg4_dinov2", "image_size": 70},
            interaction_indexes=[(i, i) for i in range(4)],
            conv_inplane=8,
            deform_num_heads=6,
            norm_cfg={"type": "GN", "num_groups": 8},
        )
    maps = adapter(torch.randn(1, 3, 70, 90))
    assert [tuple(m.shape[2:]) for m in maps] == [(18, 23), (9, 12), (5, 6), (3, 3)]
