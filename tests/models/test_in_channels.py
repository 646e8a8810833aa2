"""Images with one, four and more channels. RGB weights are adapted as in timm."""

import pytest
import timm
import torch
from timm.models._manipulate import adapt_input_conv

from mmbeit3.checkpoint import convert, load_checkpoint, read_lazily, write_checkpoint
from mmbeit3.checkpoint.resizing import resize_channels
from mmbeit3.errors import UserError
from mmbeit3.export.program import trace
from mmbeit3.models.backbones import BEiT3Vision, TimmViT, ViTAdapter
from tests.goldens import ARCH

TINY = {**ARCH, "num_layers": 1}
DINOV2 = "vit_small_patch14_dinov2"


@pytest.fixture
def small(monkeypatch):
    """Make timm build small models."""
    original = timm.create_model
    sizes = {"depth": 1, "embed_dim": 48, "num_heads": 3}
    monkeypatch.setattr(timm, "create_model", lambda name, **options: original(name, **{**sizes, **options}))


VITS = {
    "BEiT-3": {"type": "mmbeit3.BEiT3Vision", "arch": TINY},
    "timm": {"type": "mmbeit3.TimmViT", "model_name": DINOV2, "image_size": 56},
}


def adapter(vit, **options):
    sizes = {"conv_inplane": 8, "deform_num_heads": 3, "vit_feature": "last", "init_value": 0.5}
    return ViTAdapter({**VITS[vit], **options}, [(0, 0)], norm_cfg={"type": "BN"}, **sizes).eval()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_kernels_as_timm_adapts_them(channels, dtype):
    kernel = torch.randn(5, 3, 2, 2).to(dtype)
    fitted = resize_channels("proj", kernel, channels)
    assert fitted.dtype == dtype
    torch.testing.assert_close(fitted, adapt_input_conv(channels, kernel))
    if channels != 3:
        with pytest.raises(UserError, match=rf"for images of {channels} channels \(proj has shape .*\), the model is for 3"):
            resize_channels("proj", fitted, 3)


@pytest.mark.parametrize("channels", [1, 4, 5])
@pytest.mark.parametrize("name", [DINOV2, "eva02_tiny_patch14_224"])
def test_features_of_timm(name, channels, small):
    torch.manual_seed(0)
    state = timm.create_model(name, img_size=56).state_dict()
    theirs = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay={"state_dict": dict(state)}, in_chans=channels, img_size=56, num_classes=0
    ).eval()
    vit = TimmViT(name, image_size=56, in_channels=channels, final_norm=True).eval()
    report = load_checkpoint(vit, state)
    assert report.resized == {"model.patch_embed.proj.weight": f"48x3x14x14 to 48x{channels}x14x14"}
    image = torch.randn(2, channels, 56, 56)
    with torch.no_grad():
        tokens = theirs.fc_norm(theirs.forward_features(image))[:, theirs.num_prefix_tokens :]
        torch.testing.assert_close(vit(image)[0].flatten(2).mT, tokens, atol=1e-5, rtol=1e-5)


def test_behind_a_convolutional_stem(small):
    name = "vit_tiny_r_s16_p8_224"
    state = timm.create_model(name).state_dict()
    vit = TimmViT(name, in_channels=4)
    first = "patch_embed.backbone.conv.weight"
    assert set(load_checkpoint(vit, state).resized) == {f"model.{first}"}
    torch.testing.assert_close(vit.model.state_dict()[first], adapt_input_conv(4, state[first]))


@pytest.mark.parametrize("vit", VITS)
@pytest.mark.parametrize("channels", [1, 4])
def test_whole_adapter(vit, channels, small):
    rgb, other = adapter(vit), adapter(vit, in_channels=channels)
    report = load_checkpoint(other, rgb.state_dict())
    kernels = {"vit.embed.proj.weight" if vit == "BEiT-3" else "vit.model.patch_embed.proj.weight", "spm.stem.0.weight"}
    assert set(report.resized) == kernels
    image = torch.randn(2, channels, 70, 56)
    # Of four channels, the first and the last have the kernel of red, and all count three quarters.
    as_rgb = image.expand(-1, 3, -1, -1) if channels == 1 else 0.75 * (image[:, :3] + image[:, [3, 3, 3]] * mask_of_red())
    with torch.no_grad():
        for found, wanted in zip(other(image), rgb(as_rgb), strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    other.train()(image)[0].sum().backward()
    assert other.spm.stem[0].weight.grad.abs().sum() > 0
    with pytest.raises(UserError, match=rf"set in_channels={channels}$"):
        load_checkpoint(rgb, other.state_dict())


def mask_of_red():
    return torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)


@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="export needs PyTorch 2.7")
def test_files_of_other_channels(tmp_path):
    """Checkpoints of other channel numbers are converted and exported."""
    tower = BEiT3Vision(TINY, in_channels=4, final_norm=True).eval()
    write_checkpoint(tower.state_dict(), tmp_path / "tower.safetensors")
    for layout in ("timm", "official"):
        theirs = convert(read_lazily(tmp_path / "tower.safetensors"), layout, vision_only=True).tensors
        again = BEiT3Vision(TINY, in_channels=4, final_norm=True)
        load_checkpoint(again, {name: tensor.load() for name, tensor in theirs.items()})
        torch.testing.assert_close(again.embed.proj.weight, tower.embed.proj.weight)
    program = trace(tower, (64, 64))
    image = torch.randn(1, 4, 96, 70)
    torch.testing.assert_close(program.module()(image)[0], tower(image)[0], atol=1e-4, rtol=1e-4)
