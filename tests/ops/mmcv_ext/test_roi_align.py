"""RoIAlign of the replacements, called through mmcv's own functions."""

import mmcv.ops
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbeit3.ops import mmcv_ext
from tests.ops.mmcv_ext.made import random_boxes

pytestmark = pytest.mark.skipif(not mmcv_ext.is_replaced(), reason="compiled mmcv is in use, which is not ours to test")


def roi_align_by_hand(features, roi, out, scale, samples, aligned):
    """Compute the definition, one sample at a time, with a fixed number of samples per bin."""
    _, C, H, W = features.shape
    shift = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (float(v) * scale - shift for v in roi[1:])
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1.0), max(height, 1.0)
    result = features.new_zeros(C, out, out)
    for i in range(out):
        for j in range(out):
            for a in range(samples):
                for b in range(samples):
                    y = y1 + (i + (a + 0.5) / samples) * height / out
                    x = x1 + (j + (b + 0.5) / samples) * width / out
                    if y < -1 or y > H or x < -1 or x > W:
                        continue
                    y, x = min(max(y, 0.0), H - 1), min(max(x, 0.0), W - 1)
                    top, left = int(y), int(x)
                    bottom, right = min(top + 1, H - 1), min(left + 1, W - 1)
                    fy, fx = y - top, x - left
                    maps = features[int(roi[0])]
                    result[:, i, j] += (
                        (1 - fy) * (1 - fx) * maps[:, top, left]
                        + (1 - fy) * fx * maps[:, top, right]
                        + fy * (1 - fx) * maps[:, bottom, left]
                        + fy * fx * maps[:, bottom, right]
                    ) / samples**2
    return result


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), aligned=st.booleans(), outside=st.booleans(), double=st.booleans())
def test_roi_align(seed, aligned, outside, double):
    generator = torch.Generator().manual_seed(seed)
    dtype, tolerance = (torch.float64, 1e-12) if double else (torch.float32, 1e-4)
    features = torch.randn(2, 3, 8, 9, generator=generator, dtype=dtype)
    boxes, _ = random_boxes(3, seed, size=60.0 if outside else 25.0)
    rois = torch.cat([torch.randint(0, 2, (3, 1), generator=generator).float(), boxes - (20 if outside else 0)], dim=1).to(
        dtype
    )
    ours = mmcv.ops.roi_align(features, rois, 3, 0.25, 2, "avg", aligned)
    expected = torch.stack([roi_align_by_hand(features, roi, 3, 0.25, 2, aligned) for roi in rois])
    torch.testing.assert_close(ours, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_roi_align_backward(sampling_ratio):
    """RoIAlign is linear in the features, so finite differences give its exact gradient."""
    features = torch.randn(1, 2, 5, 6, requires_grad=True)
    rois = torch.tensor([[0, 1.0, 2, 15, 18], [0, -9.0, 0, 30, 9]])
    layer = mmcv.ops.RoIAlign(2, 0.25, sampling_ratio)
    out = layer(features, rois)
    grad = torch.randn_like(out)
    (gradient,) = torch.autograd.grad(out, features, grad)
    step = torch.randn_like(features)
    moved = layer(features.detach() + step, rois) - out.detach()
    torch.testing.assert_close((gradient * step).sum(), (moved * grad).sum(), atol=1e-3, rtol=1e-3)


def test_roi_align_of_nothing_and_in_half():
    features = torch.randn(1, 2, 5, 6)
    assert mmcv.ops.roi_align(features, torch.zeros(0, 5), 3, 1.0, 0, "avg", True).shape == (0, 2, 3, 3)
    rois = torch.tensor([[0, 1.0, 1, 4, 4]])
    half = mmcv.ops.roi_align(features.half(), rois.half(), 3, 1.0, 0, "avg", True)
    full = mmcv.ops.roi_align(features, rois, 3, 1.0, 0, "avg", True)
    torch.testing.assert_close(half.float(), full, atol=1e-2, rtol=1e-2)
    with pytest.raises(NotImplementedError, match="max"):
        mmcv.ops.roi_align(features, rois, 3, 1.0, 0, "max", True)


@pytest.mark.parametrize("aligned", [False, True])
def test_roi_align_in_float64(aligned):
    features = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 1.0, 2, 15, 18], [1, -9.0, 0, 30, 9]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda maps: mmcv.ops.roi_align(maps, rois, 2, 0.25, 0, "avg", aligned), features)


def test_roi_align_of_two_types():
    """It is computed in the wider dtype, and the output has the features' dtype."""
    features, rois = torch.randn(1, 2, 5, 6, dtype=torch.float64), torch.tensor([[0, 1 / 3, 2 / 3, 4.1, 4.7]])
    both = mmcv.ops.roi_align(features, rois.double(), 3, 1.0, 2, "avg", True)
    assert torch.equal(mmcv.ops.roi_align(features, rois, 3, 1.0, 2, "avg", True), both)
    single = mmcv.ops.roi_align(features.float(), rois.double(), 3, 1.0, 2, "avg", True)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), both, atol=1e-5, rtol=1e-5)
