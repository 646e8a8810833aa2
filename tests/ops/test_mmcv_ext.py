"""The stand-in for mmcv's compiled operators, called through mmcv's own functions."""

import math
import subprocess
import sys

import mmcv.ops
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbeit3.ops import mmcv_ext

pytestmark = pytest.mark.skipif(not mmcv_ext.is_stand_in(), reason="compiled mmcv is in use, which is not ours to test")


def random_boxes(n, seed, size=40.0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, 4, generator=generator) * size
    boxes = torch.cat([corners[:, :2], corners[:, :2] + 1 + corners[:, 2:] / 2], dim=1)
    return boxes, torch.rand(n, generator=generator)


def iou(a, b, offset=0):
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)

    def area(c):
        return (c[2] - c[0] + offset) * (c[3] - c[1] + offset)

    return w * h / (area(a) + area(b) - w * h)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(0, 30), seed=st.integers(0, 999), threshold=st.sampled_from([0.1, 0.5, 0.8]), offset=st.sampled_from([0, 1])
)
def test_nms(n, seed, threshold, offset):
    boxes, scores = random_boxes(n, seed)
    kept = []
    for i in scores.argsort(descending=True).tolist():
        if all(iou(boxes[i].tolist(), boxes[j].tolist(), offset) <= threshold for j in kept):
            kept.append(i)
    dets, indices = mmcv.ops.nms(boxes, scores, threshold, offset=offset)
    assert indices.tolist() == kept
    torch.testing.assert_close(dets, torch.cat([boxes, scores[:, None]], dim=1)[kept])


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(0, 20),
    seed=st.integers(0, 999),
    method=st.sampled_from(["naive", "linear", "gaussian"]),
    offset=st.sampled_from([0, 1]),
)
def test_soft_nms(n, seed, method, offset):
    threshold, sigma, min_score = 0.3, 0.5, 0.05
    boxes, scores = random_boxes(n, seed)
    left = {i: float(s) for i, s in enumerate(scores)}
    expected = []
    while left:
        best = max(left, key=lambda i: left[i])
        expected.append((best, left.pop(best)))
        for i in list(left):
            overlap = iou(boxes[best].tolist(), boxes[i].tolist(), offset)
            if method == "gaussian":
                left[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                left[i] *= 0 if method == "naive" else 1 - overlap
            if left[i] < min_score:
                del left[i]
    dets, indices = mmcv.ops.soft_nms(boxes, scores, threshold, sigma, min_score, method, offset)
    assert indices.tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(dets[:, 4].numpy(), [s for _, s in expected], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(dets[:, :4], boxes[indices])


def test_batched_nms_keeps_classes_apart():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    for kind in ("nms", "soft_nms"):
        _, kept = mmcv.ops.batched_nms(boxes, scores, torch.tensor([0, 1, 0]), {"type": kind, "iou_threshold": 0.5})
        assert kept.tolist()[:2] == [0, 1]


def roi_align_by_hand(features, roi, out, scale, samples, aligned):
    """One sample at a time, from the definition; a fixed number of samples a bin."""
    _, C, H, W = features.shape
    shift = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (float(v) * scale - shift for v in roi[1:])
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1.0), max(height, 1.0)
    result = torch.zeros(C, out, out)
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
@given(seed=st.integers(0, 999), aligned=st.booleans(), outside=st.booleans())
def test_roi_align(seed, aligned, outside):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, 8, 9, generator=generator)
    boxes, _ = random_boxes(3, seed, size=60.0 if outside else 25.0)
    rois = torch.cat([torch.randint(0, 2, (3, 1), generator=generator).float(), boxes - (20 if outside else 0)], dim=1)
    ours = mmcv.ops.roi_align(features, rois, 3, 0.25, 2, "avg", aligned)
    expected = torch.stack([roi_align_by_hand(features, roi, 3, 0.25, 2, aligned) for roi in rois])
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_roi_align_backward(sampling_ratio):
    """RoIAlign is linear in the features: its gradient follows from finite steps exactly."""
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


@pytest.mark.parametrize("weighted", [False, True])
def test_sigmoid_focal_loss(weighted):
    gamma, alpha = 2.0, 0.25
    logits = torch.randn(6, 4, dtype=torch.float32, requires_grad=True)
    target = torch.tensor([0, 3, 2, 1, 0, 3] if weighted else [0, 3, 4, 1, 4, 2])
    weight = torch.rand(4) if weighted else None
    p = logits.sigmoid()
    positive = torch.nn.functional.one_hot(target, 5)[:, :4].bool()
    expected = torch.where(positive, -alpha * (1 - p) ** gamma * p.log(), -(1 - alpha) * p**gamma * (1 - p).log())
    if weighted:
        expected = expected * weight[target][:, None]
    ours = mmcv.ops.sigmoid_focal_loss(logits, target, gamma, alpha, weight, "none")
    torch.testing.assert_close(ours, expected)
    # mmcv's function scales by its incoming gradient.
    ours_grad = torch.autograd.grad(ours.sum(), logits, retain_graph=True)
    torch.testing.assert_close(ours_grad, torch.autograd.grad(expected.sum(), logits))


@pytest.mark.parametrize("weighted", [False, True])
def test_softmax_focal_loss(weighted):
    gamma, alpha = 2.0, 0.25
    logits = torch.randn(6, 4, requires_grad=True)
    target = torch.tensor([0, 3, 2, 1, 0, 3])
    weight = torch.rand(4) if weighted else None
    p = logits.softmax(1)[torch.arange(6), target]
    expected = -alpha * (1 - p) ** gamma * p.log() * (weight[target] if weighted else 1)
    ours = mmcv.ops.softmax_focal_loss(logits, target, gamma, alpha, weight, "sum")
    torch.testing.assert_close(ours, expected.sum())
    torch.testing.assert_close(torch.autograd.grad(ours, logits)[0], torch.autograd.grad(expected.sum(), logits)[0])


def test_an_operator_that_is_not_there():
    with pytest.raises(NotImplementedError, match=r"'carafe_forward'.*pip install"):
        mmcv.ops.carafe(torch.randn(1, 4, 4, 4), torch.randn(1, 9, 8, 8), 3, 1, 2)


def test_providing_twice():
    before = sys.modules["mmcv._ext"]
    assert mmcv_ext.provide()
    assert sys.modules["mmcv._ext"] is before


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_compiled_module_is_left_alone(tmp_path):
    """A module of the compiled one's name that can be found is imported, not replaced."""
    (tmp_path / "_ext.py").write_text("nms = 'compiled'")
    done = run(
        f"import mmcv; mmcv.__path__.append({str(tmp_path)!r})\n"
        "from mmbeit3.ops import mmcv_ext\n"
        "assert mmcv_ext.provide() is False\n"
        "import mmcv._ext; assert mmcv._ext.nms == 'compiled'"
    )
    assert done.returncode == 0, done.stderr


def test_a_broken_compiled_module_is_an_error(tmp_path):
    (tmp_path / "_ext.py").write_text("raise ImportError('undefined symbol')")
    done = run(f"import mmcv; mmcv.__path__.append({str(tmp_path)!r})\nfrom mmbeit3.ops import mmcv_ext\nmmcv_ext.provide()")
    assert done.returncode != 0
    assert "built for another torch" in done.stderr


def test_a_stub_of_mask2former_is_refused():
    """mmseg imported before the operators are there would silently have a stub of the head."""
    done = run("import mmseg.models\nimport mmbeit3.registry")
    assert done.returncode != 0
    assert "import mmbeit3.registry first" in done.stderr


def test_missing_packages_are_named():
    from mmbeit3.extras import require

    require("mmengine", "mmcv")
    with pytest.raises(ImportError, match=r"no_such_package.*pip install"):
        require("no_such_package")
