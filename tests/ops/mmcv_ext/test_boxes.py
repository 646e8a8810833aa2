"""Non-maximum suppression of the replacements, called through mmcv's own functions."""

import mmcv.ops
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbeit3.ops import mmcv_ext
from tests.ops.mmcv_ext.made import random_boxes

pytestmark = pytest.mark.skipif(not mmcv_ext.is_replaced(), reason="compiled mmcv is in use, which is not ours to test")

TYPES = st.sampled_from([np.float32, np.float64])
OFFSET = st.sampled_from([0, 1])
# Boxes of few sizes and places meet thresholds exactly; so do few scores each other.
SIDE = st.tuples(st.integers(0, 8), st.integers(1, 10)).map(lambda side: (side[0], side[0] + side[1]))
BOX = st.tuples(SIDE, SIDE).map(lambda sides: (sides[0][0], sides[1][0], sides[0][1], sides[1][1]))
THRESHOLD = st.one_of(st.integers(0, 10).map(lambda n: n / 10), st.integers(0, 20).map(lambda n: n / 20))
SCORE = st.integers(1, 9).map(lambda n: n / 10)


def iou(a, b, offset):
    """Compute in the dtype of the boxes, in the order of operations of mmcv's op."""
    number, zero = type(a[0]), type(a[0])(0)
    offset = number(offset)
    w = max(zero, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    h = max(zero, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a, area_b = ((c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b))
    return w * h / (area_a + area_b - w * h)


def nms_one_by_one(boxes, scores, threshold, offset):
    kept = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if not any(iou(boxes[j], boxes[i], offset) > boxes.dtype.type(threshold) for j in kept):
            kept.append(i)
    return kept


def tensors(boxes, scores):
    return torch.from_numpy(boxes), torch.from_numpy(scores)


@settings(max_examples=60, deadline=None)
@given(found=st.lists(st.tuples(BOX, SCORE), min_size=1, max_size=12), threshold=THRESHOLD, offset=OFFSET, dtype=TYPES)
def test_nms_at_the_threshold(found, threshold, offset, dtype):
    boxes, scores = np.array([box for box, _ in found], dtype), np.array([score for _, score in found], dtype)
    dets, indices = mmcv.ops.nms(*tensors(boxes, scores), threshold, offset=offset)
    assert indices.tolist() == nms_one_by_one(boxes, scores, threshold, offset)
    np.testing.assert_array_equal(dets.numpy(), np.column_stack([boxes, scores])[indices.numpy()])


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 30), seed=st.integers(0, 999), threshold=THRESHOLD, offset=OFFSET, far=st.sampled_from([0, 1e4]))
def test_nms(n, seed, threshold, offset, far):
    """Far from zero the last bits of widths are lost, so the order of additions matters."""
    boxes, scores = (tensor.numpy() for tensor in random_boxes(n, seed))
    boxes = boxes + np.float32(far)
    _, indices = mmcv.ops.nms(*tensors(boxes, scores), threshold, offset=offset)
    assert indices.tolist() == nms_one_by_one(boxes, scores, threshold, offset)


@pytest.mark.parametrize("tenths", range(1, 10))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_nms_of_a_known_overlap(tenths, dtype):
    """The IoU is a multiple of 0.1: the box is suppressed above the threshold, and kept at it."""
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, tenths]], dtype=dtype)
    scores = torch.tensor([0.9, 0.8], dtype=dtype)
    for threshold, kept in ((tenths / 10 - 0.01, 1), (tenths / 10, 2), (tenths / 10 + 0.01, 2)):
        assert len(mmcv.ops.nms(boxes, scores, threshold)[1]) == kept
    # Of boxes that include their last pixel, the same.
    boxes[:, 2:] -= 1
    for threshold, kept in ((tenths / 10 - 0.01, 1), (tenths / 10, 2)):
        assert len(mmcv.ops.nms(boxes, scores, threshold, offset=1)[1]) == kept


def soft_nms_one_by_one(boxes, scores, threshold, sigma, min_score, method, offset):
    """Reference with mmcv's in-place list: the best row moves to the front, the last row overwrites a dropped one."""
    number = boxes.dtype.type
    rows = [[i, number(score)] for i, score in enumerate(scores)]
    kept = []
    while rows:
        best = max(range(len(rows)), key=lambda place: (rows[place][1], -place))
        rows[0], rows[best] = rows[best], rows[0]
        one, score = rows.pop(0)
        kept.append((one, score))
        place = 0
        while place < len(rows):
            overlap = iou(boxes[one], boxes[rows[place][0]], offset)
            if method == "gaussian":
                rows[place][1] *= np.exp(-(overlap * overlap) / number(sigma))
            elif overlap >= number(threshold):
                rows[place][1] *= number(0) if method == "naive" else number(1) - overlap
            if rows[place][1] < number(min_score):
                rows[place] = rows[-1]
                rows.pop()
            else:
                place += 1
    return kept


@settings(max_examples=80, deadline=None)
@given(
    found=st.lists(st.tuples(BOX, SCORE), min_size=1, max_size=12),
    threshold=THRESHOLD,
    method=st.sampled_from(["naive", "linear", "gaussian"]),
    min_score=st.sampled_from([0.0, 0.1, 0.3]),
    offset=OFFSET,
    dtype=TYPES,
)
def test_soft_nms(found, threshold, method, min_score, offset, dtype):
    boxes, scores = np.array([box for box, _ in found], dtype), np.array([score for _, score in found], dtype)
    expected = soft_nms_one_by_one(boxes, scores, threshold, 0.5, min_score, method, offset)
    dets, indices = mmcv.ops.soft_nms(*tensors(boxes, scores), threshold, 0.5, min_score, method, offset)
    assert indices.tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(dets[:, 4], [score for _, score in expected], rtol=1e-6)
    np.testing.assert_array_equal(dets[:, :4], boxes[indices.numpy()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_soft_nms_changes_scores_from_the_threshold_on(dtype):
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 3]], dtype=dtype)
    dets, _ = mmcv.ops.soft_nms(boxes, torch.tensor([0.9, 0.8], dtype=dtype), 0.3, 0.5, 0.01, "linear")
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.8 * 0.7], rel=1e-6)


def test_float64_is_not_rounded():
    """The IoU differs from the threshold by less than float32 can represent."""
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 3 + 1e-9]], dtype=torch.float64)
    scores = torch.tensor([0.9, 0.8], dtype=torch.float64)
    assert mmcv.ops.nms(boxes, scores, 0.3)[1].tolist() == [0]
    assert mmcv.ops.nms(boxes.float(), scores.float(), 0.3)[1].tolist() == [0, 1]
    dets, _ = mmcv.ops.soft_nms(boxes, scores, 0.3, 0.5, 0.01, "linear")
    assert float(dets[1, 4]) == pytest.approx(0.8 * (0.7 - 1e-10), rel=1e-14)


def test_batched_nms_keeps_classes_apart():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    for kind in ("nms", "soft_nms"):
        _, kept = mmcv.ops.batched_nms(boxes, scores, torch.tensor([0, 1, 0]), {"type": kind, "iou_threshold": 0.5})
        assert kept.tolist()[:2] == [0, 1]
