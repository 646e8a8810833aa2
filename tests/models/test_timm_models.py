"""TimmViT supports timm's VisionTransformer and Eva models, and finds their final norms."""

import re

import pytest
import timm
import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from mmbeit3.errors import UserError
from mmbeit3.models.backbones import TimmViT

MODULES = ("vision_transformer", "deit", "eva", "vision_transformer_hybrid", "vitamin")
SIZES = r"_(?:xsmall|tiny|small|little|mediumd?|betwixt|base|large2?|xlarge|giant|huge|gigantic|enormous|so\d+m\d?|\d+[bm])"


def families():
    """Return one name, preferably a small model, for each family in the modules that build supported models."""
    names = {}
    for module in MODULES:
        for name in sorted(timm.list_models(module=module), key=lambda name: not re.search("tiny|small|base", name)):
            family = re.sub(r"_(?:patch)?\d+(?=_|$)", "", re.sub(SIZES, "", name))
            names.setdefault((module, family), name)
    return sorted(names.values())


def shallow(monkeypatch, depth=2, **more):
    """Make timm build few blocks."""
    original = timm.create_model

    def create(name, **options):
        # Of Sapiens2, timm lists the heads of each block.
        return original(name, **({} if "sapiens" in name else {"depth": depth}), **(more if options else {}), **options)

    monkeypatch.setattr(timm, "create_model", create)


@pytest.fixture
def weightless():
    """Skip if timm is too old to build models without weights."""
    try:
        with torch.device("meta"):
            timm.create_model("vit_tiny_patch16_224", depth=1)
    except RuntimeError as error:
        pytest.skip(f"this timm builds no models on PyTorch's meta device: {error}")


def test_every_family_is_taken_and_keeps_its_final_norm(monkeypatch, weightless):
    shallow(monkeypatch, depth=1)
    names = families()
    assert len(names) > 50
    pooled = 0
    for name in names:
        with torch.device("meta"):
            whole = timm.create_model(name)
            vit = TimmViT(name, final_norm=True)
        assert isinstance(whole, VisionTransformer | Eva)
        own, theirs = set(vit.model.state_dict()), set(whole.state_dict())
        pooled += "fc_norm.weight" in theirs
        has_norm = bool(theirs & {"norm.weight", "fc_norm.weight"})
        assert ("norm.weight" in own) == has_norm
        # Nothing else is there that timm's does not have, and nothing behind the blocks.
        assert own - theirs <= {"norm.weight", "norm.bias"}
        behind = re.compile(r"(?:norm|fc_norm|head|head_dist|attn_pool)\.")
        assert {key for key in own if behind.match(key)} == {key for key in own if key.startswith("norm.")}
        assert {key for key in theirs if not behind.match(key)} == {key for key in own if not behind.match(key)}
    assert pooled > 10


NAMES = [
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "vit_tiny_r_s16_p8_224",
    "vitamin_small_224",
    "vit_small_patch16_rope_mixed_ape_224",
    "vit_pe_core_tiny_patch16_384",
    "eva02_tiny_patch14_224",
]


@pytest.mark.parametrize("name", NAMES)
def test_equals_timm_at_another_size(name, monkeypatch):
    shallow(monkeypatch)
    vit = TimmViT(name, final_norm=True, image_size=128).eval()
    p = vit.patch_size
    image = torch.randn(2, 3, 3 * p, 5 * p)
    with torch.no_grad():
        tokens, grid = vit.embed_image(image)
        assert grid == (3, 5)
        assert tokens.shape[1] == vit.num_prefix_tokens + 15
        tokens = vit.normalize(vit.run(vit.run(tokens, grid, 0, 1), grid, 1, 2))
        torch.testing.assert_close(tokens, vit.model.forward_features(image))
        assert vit(image[..., : 3 * p - 5, : 4 * p + 1])[0].shape[2:] == (3, 5)
    vit.train()(image)[0].square().sum().backward()
    # A norm behind the blocks does not reach the prefix tokens that are left out last, but attention does.
    assert [key for key, p in vit.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    "name",
    ["test_vit2", "eva02_tiny_patch14_224", "vit_wee_patch16_reg1_gap_256", "vitamin_small_224", "beit3_base_patch16_224"],
)
def test_pretrained_norm_of_pooled_patches(name, monkeypatch):
    """The norm is that of timm's ``pretrained=True``, with given instead of downloaded weights."""
    whole = timm.create_model(name, depth=1)
    nn.init.normal_(whole.fc_norm.weight)
    nn.init.normal_(whole.fc_norm.bias)
    state = {key: tensor.clone() for key, tensor in whole.state_dict().items()}
    shallow(monkeypatch, depth=1, pretrained_cfg_overlay={"state_dict": state})
    vit = TimmViT(name, pretrained=True, final_norm=True).eval()
    torch.testing.assert_close(vit.model.norm.weight, whole.fc_norm.weight)
    tokens = torch.randn(2, 5, vit.embed_dims)
    with torch.no_grad():
        torch.testing.assert_close(vit.normalize(tokens), whole.fc_norm(tokens))
    assert torch.equal(vit.model.blocks[0].attn.proj.weight, whole.blocks[0].attn.proj.weight)


def test_pretrained_norm_of_masked_image_modelling(monkeypatch):
    """EVA-02's checkpoints before fine-tuning have ``norm``, which timm renames to ``fc_norm``."""
    whole = timm.create_model("eva02_tiny_patch14_224", depth=1)
    state = {key.replace("fc_norm.", "norm."): tensor.clone() for key, tensor in whole.state_dict().items()}
    state["norm.weight"].normal_()
    state["mask_token"] = torch.zeros(1, 1, whole.embed_dim)
    shallow(monkeypatch, depth=1, pretrained_cfg_overlay={"state_dict": state})
    for final_norm in (True, False):
        vit = TimmViT("eva02_tiny_patch14_224", pretrained=True, final_norm=final_norm)
        assert not final_norm or torch.equal(vit.model.norm.weight, state["norm.weight"])
        assert torch.equal(vit.model.cls_token, whole.cls_token)


def test_rotary_positions_that_are_drawn_are_the_same_for_all_blocks():
    if not timm.is_model("vit_base_patch16_sapiens2"):
        pytest.skip("this timm has no model with random rotary positions")
    with torch.device("meta"):
        assert TimmViT("vit_base_patch16_sapiens2").model.rope.aug_active
    vit = TimmViT("vit_small_patch16_dinov3", image_size=64).train()
    vit.model.rope.rescale_coords, vit.model.rope.aug_active = 2.0, True
    vit.model.blocks = vit.model.blocks[:3]
    for block in vit.model.blocks:
        nn.init.ones_(block.gamma_1)
    vit.num_layers = 3
    image = torch.randn(1, 3, 48, 32)
    results = []
    for out_indices in ((2,), (0, 1, 2)):
        vit.out_indices = out_indices
        torch.manual_seed(0)
        results.append(vit(image)[-1])
    assert torch.equal(*results)
    assert (vit(image)[-1] - results[0]).abs().max() > 1e-3
    assert torch.equal(vit.eval()(image)[-1], vit(image)[-1])


def test_weights_that_cannot_be_had(monkeypatch):
    shallow(monkeypatch, pretrained_cfg_overlay={"hf_hub_id": None, "url": "", "file": "", "source": ""})
    with pytest.raises(UserError, match=r"weights of 'test_vit2' cannot be loaded: .*set checkpoint= instead") as error:
        TimmViT("test_vit2", pretrained=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_vit", "has no model"),
        ("vit_base_patch14_dinov4", "similar names: vit_base_patch14_dinov2"),
        ("beit_base_patch16_224", "timm.models.beit builds another class"),
        ("swin_tiny_patch4_window7_224", "TimmViT supports timm's VisionTransformer and Eva"),
        ("samvit_base_patch16", "vision_transformer_sam"),
        ("vit_relpos_base_patch16_224", "vision_transformer_relpos"),
        ("naflexvit_base_patch16_gap", "naflexvit"),
        ("resnet18", "resnet"),
    ],
)
def test_unknown_and_unsupported_models(name, reason):
    with pytest.raises(ValueError, match=reason) as error:
        TimmViT(name)
    assert "\n" not in str(error.value)


def test_sizes_that_a_stem_has_no_grid_for():
    with pytest.raises(ValueError, match="image_size 100; with a convolutional stem, image_size must be a multiple"):
        TimmViT("vit_tiny_r_s16_p8_224", image_size=100)


def test_other_modules_make_no_such_models(weightless):
    """Models that are refused because of their module have another class. Checks one model per ViT-like module."""
    names = {timm.model_entrypoint(name).__module__: name for name in reversed(timm.list_models())}
    refused = 0
    for module, name in names.items():
        if not module.endswith(MODULES) and re.search(
            r"\.(?!mobile|efficient|repvit|fastvit|shvit)\w*(?:vit|vision|beit|cait|tnt|hiera|xcit)", module
        ):
            try:
                TimmViT(name)
            except ValueError:
                with torch.device("meta"):
                    assert not isinstance(timm.create_model(name), VisionTransformer | Eva)
                refused += 1
    assert refused > 10
