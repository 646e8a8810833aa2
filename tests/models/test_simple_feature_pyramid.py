import pytest
import torch

from mmbeit3.models.necks import SimpleFeaturePyramid


def test_levels():
    neck = SimpleFeaturePyramid(in_channels=32, out_channels=16)
    maps = neck([torch.randn(2, 7, 1, 1), torch.randn(2, 32, 6, 10)])
    assert [tuple(m.shape) for m in maps] == [(2, 16, 24, 40), (2, 16, 12, 20), (2, 16, 6, 10), (2, 16, 3, 5), (2, 16, 2, 3)]
    sum(m.sum() for m in maps).backward()
    assert all(p.grad is not None for p in neck.parameters())


def test_halves_of_odd_sides_are_rounded_up():
    neck = SimpleFeaturePyramid(in_channels=8, out_channels=16, num_outs=4, norm_cfg={"type": "BN"}).eval()
    features = torch.randn(2, 8, 5, 7)
    # A last row or column that is there twice changes no maximum.
    doubled = torch.cat([features, features[:, :, -1:]], dim=2)
    doubled = torch.cat([doubled, doubled[..., -1:]], dim=3)
    with torch.no_grad():
        torch.testing.assert_close(neck([features])[3], neck([doubled])[3])
    assert neck([torch.randn(1, 8, 1, 1)])[3].shape == (1, 16, 1, 1)


def test_normalised_over_channels():
    # Every level ends in a layer norm over channels: with its initial weights each position has mean 0 and variance 1.
    for level in SimpleFeaturePyramid(in_channels=32, out_channels=64, num_outs=4)([torch.randn(1, 32, 8, 8)]):
        torch.testing.assert_close(level.mean(1), torch.zeros_like(level[:, 0]), atol=1e-4, rtol=0)
        torch.testing.assert_close(level.var(1, unbiased=False), torch.ones_like(level[:, 0]), atol=1e-2, rtol=0)


@pytest.mark.parametrize("options", [{"scale_factors": (3.0,)}, {"num_outs": 2}])
def test_impossible_levels(options):
    with pytest.raises(ValueError, match=r"scale_factors"):
        SimpleFeaturePyramid(in_channels=8, **options)
