"""A tokenizer's encoder that starts from its teacher's blocks."""

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from mmbeit3.errors import UserError
from mmbeit3.pretrain.image_tokenizers import VQKD, TokenizerViT, copy_vit, start_projection
from mmbeit3.pretrain.tokenizer_trainer import VQKDTrainer

MEAN, STD = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)


def vit(**options):
    """Build a small ViT with random weights; those that start at 0 or 1 become random, too."""
    torch.manual_seed(0)
    net = VisionTransformer(64, 16, embed_dim=64, depth=3, num_heads=2, num_classes=0, **options).eval()
    for parameter in net.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return net


@pytest.mark.parametrize("depth", [3, 2])
@pytest.mark.parametrize("init_values", [None, 0.5])
@torch.no_grad()
def test_same_features_as_the_vit(depth, init_values):
    net = vit(init_values=init_values)
    encoder = TokenizerViT(3, (4, 4), 16, 64, depth, 2).eval()
    copy_vit(encoder, net, MEAN, STD)
    image = torch.rand(2, 3, 64, 64)
    options = {"indices": [depth - 1], "norm": depth == 3, "output_fmt": "NLC", "intermediates_only": True}
    (expected,) = net.forward_intermediates((image - MEAN) / STD, **options)
    if depth < 3:
        # Fewer blocks end with a norm of the encoder's own.
        expected = torch.nn.functional.layer_norm(expected, (64,), eps=1e-6)
    torch.testing.assert_close(encoder(image * 2 - 1), expected, atol=1e-4, rtol=1e-4)


def test_refuses():
    for sizes, match in (
        ((3, (4, 4), 8, 64, 2, 2), "patch embedding"),
        ((3, (4, 4), 16, 32, 2, 2), "patch embedding"),
        ((3, (5, 5), 16, 64, 2, 2), "pos_embed differs"),
        ((3, (4, 4), 16, 64, 2, 4), "number of heads"),
        ((3, (4, 4), 16, 64, 4, 2), "blocks.3"),
    ):
        with pytest.raises(UserError, match=match):
            copy_vit(TokenizerViT(*sizes), vit(), MEAN, STD)
    with pytest.raises(UserError, match="number of heads or of parts"):
        copy_vit(TokenizerViT(3, (4, 4), 16, 64, 2, 2), vit(qk_norm=True), MEAN, STD)
    with pytest.raises(UserError, match="start from a ResNet"):
        copy_vit(TokenizerViT(3, (4, 4), 16, 64, 2, 2), timm.create_model("test_resnet"), MEAN, STD)


def test_trains_all_but_the_encoder():
    sizes = {"dims": 192, "depth": 2, "heads": 3, "image_size": 64, "patch_size": 16, "num_codes": 8, "code_dims": 4}
    model = VQKDTrainer({**sizes, "decoder_depth": 1}, {"model": "vit_tiny_patch16_224"}, encoder_from_teacher=True)
    image = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    model.train().parse_losses(model({"images": {"image": image}}))[0].backward()
    trained = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"decoder", "decode_task_layer"}
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert model.tokenizer.quantize.embedding.initted


@torch.no_grad()
def test_the_projection_is_that_of_principal_components():
    generator = torch.Generator().manual_seed(0)
    # Independent features with known deviations, rotated and shifted.
    deviations = torch.tensor([2.0, 1.0, 0.5, 0.25, 0.1, 0.1]).double()
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))
    sources = torch.randn(5000, 6, generator=generator, dtype=torch.float64) * deviations
    # Small features, for which the tanh is linear.
    features = (0.01 * sources @ rotation.T + 3).float()
    projection = VQKD(6, 1, 1, 32, 16, num_codes=4, code_dims=3).encode_task_layer
    start_projection(projection, features)
    found = projection(features)
    expected = 0.01 * sources[:, :3] / (0.01 * deviations[:3]).sqrt()
    # Signs are arbitrary.
    signs = (found * expected).sum(dim=0).sign()
    torch.testing.assert_close(found * signs, expected, atol=0.02, rtol=0.05)


@torch.no_grad()
def test_codes_start_once():
    torch.manual_seed(0)
    tokenizer = VQKD(64, 1, 1, 64, 16, num_codes=8, code_dims=4).train()
    image = torch.rand(4, 3, 64, 64)
    tokenizer.start_codes(image)
    state = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    assert len(tokenizer.encode(image).unique()) == 8
    tokenizer.start_codes(torch.rand(4, 3, 64, 64))
    torch.testing.assert_close(tokenizer.state_dict(), state, atol=0, rtol=0)
