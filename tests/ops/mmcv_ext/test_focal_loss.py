"""Focal losses of the replacements, called through mmcv's own functions."""

import mmcv.ops
import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbeit3.ops import mmcv_ext

pytestmark = pytest.mark.skipif(not mmcv_ext.is_replaced(), reason="compiled mmcv is in use, which is not ours to test")

ALPHA = 0.25
GAMMA = st.sampled_from([0, 0.25, 0.5, 1, 1.5, 2, 3])
LOGIT = st.one_of(st.floats(-100, 100, width=32), st.sampled_from([-100.0, -20.0, -0.0, 0.0, 1e-30, 20.0, 100.0]))


def focal_by_p(p, rest, gamma):
    """Return the loss without alpha, and its derivative by p times p."""
    return -(rest**gamma) * mpmath.log(p), gamma * rest ** (gamma - 1) * p * mpmath.log(p) - rest**gamma


def sigmoid_focal(logit, positive, gamma):
    """Compute loss and derivative with many digits."""
    sign, scale = (1, ALPHA) if positive else (-1, 1 - ALPHA)
    odds = mpmath.exp(mpmath.mpf(logit) * sign)
    p, rest = odds / (1 + odds), 1 / (1 + odds)
    loss, slope = focal_by_p(p, rest, mpmath.mpf(gamma))
    return scale * loss, sign * scale * slope * rest


def softmax_focal(logits, target, gamma):
    """Compute loss and derivatives with many digits."""
    shares = [mpmath.exp(mpmath.mpf(logit)) for logit in logits]
    p = [share / sum(shares) for share in shares]
    rest = sum(other for place, other in enumerate(p) if place != target)
    loss, slope = focal_by_p(p[target], rest, mpmath.mpf(gamma))
    derivatives = [ALPHA * slope * (rest if place == target else -other) for place, other in enumerate(p)]
    return ALPHA * loss, derivatives


@settings(max_examples=60, deadline=None)
@given(logits=st.lists(LOGIT, min_size=1, max_size=3), gamma=GAMMA, double=st.booleans())
def test_sigmoid_focal_loss_equals_its_formula(logits, gamma, double):
    dtype, tolerance = (torch.float64, 1e-13) if double else (torch.float32, 1e-5)
    # Each logit as that of the target and as that of another class.
    given_logits = torch.tensor([logits, logits], dtype=dtype, requires_grad=True)
    target = torch.tensor([0, len(logits)])
    with mpmath.workdps(150):
        expected = [
            [sigmoid_focal(logit, row == column == 0, gamma) for column, logit in enumerate(logits)] for row in range(2)
        ]
        losses, derivatives = ([[float(pair[i]) for pair in row] for row in expected] for i in range(2))
    ours = mmcv.ops.sigmoid_focal_loss(given_logits, target, gamma, ALPHA, None, "none")
    torch.testing.assert_close(ours, torch.tensor(losses, dtype=dtype), rtol=tolerance, atol=1e-37)
    (gradient,) = torch.autograd.grad(ours.sum(), given_logits)
    torch.testing.assert_close(gradient, torch.tensor(derivatives, dtype=dtype), rtol=tolerance, atol=1e-37)


@settings(max_examples=60, deadline=None)
@given(logits=st.lists(LOGIT, min_size=2, max_size=4), gamma=GAMMA, double=st.booleans())
def test_softmax_focal_loss_equals_its_formula(logits, gamma, double):
    dtype, tolerance = (torch.float64, 1e-12) if double else (torch.float32, 2e-5)
    given_logits = torch.tensor([logits], dtype=dtype, requires_grad=True)
    with mpmath.workdps(150):
        loss, derivatives = softmax_focal(logits, 0, gamma)
        # Of a probability below the smallest normal number only that can be told; mmcv gives no more.
        most = -ALPHA * float(mpmath.log(torch.finfo(dtype).tiny))
        loss, derivatives = min(float(loss), most), [float(value) for value in derivatives]
    ours = mmcv.ops.softmax_focal_loss(given_logits, torch.tensor([0]), gamma, ALPHA, None, "sum")
    torch.testing.assert_close(ours, torch.tensor(loss, dtype=dtype), rtol=tolerance, atol=1e-18)
    (gradient,) = torch.autograd.grad(ours, given_logits)
    torch.testing.assert_close(gradient, torch.tensor([derivatives], dtype=dtype), rtol=tolerance, atol=1e-18)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0, 0.25, 0.5, 1, 2])
def test_saturated_logits(dtype, gamma):
    """A confident right prediction has zero loss and gradient; a confident wrong one has the slope of cross-entropy."""
    for size in (20.0, 100.0, torch.finfo(dtype).max, torch.inf):
        logits = torch.tensor([[size], [size]], dtype=dtype, requires_grad=True)
        losses = mmcv.ops.sigmoid_focal_loss(logits, torch.tensor([0, 1]), gamma, ALPHA, None, "none")
        (gradient,) = torch.autograd.grad(losses.sum(), logits)
        assert gradient.flatten().tolist() == pytest.approx([0, 0.75], abs=3e-7)
        assert losses[0].item() == pytest.approx(0, abs=1e-8)
        if size <= 100:
            assert losses[1].item() == pytest.approx(0.75 * size, rel=1e-2)
    for size in (20.0, 100.0):
        logits = torch.tensor([[size, 0.0], [0.0, size]], dtype=dtype, requires_grad=True)
        loss = mmcv.ops.softmax_focal_loss(logits, torch.tensor([0, 0]), gamma, ALPHA, None, "sum")
        (gradient,) = torch.autograd.grad(loss, logits)
        assert gradient.tolist() == [pytest.approx([0, 0], abs=3e-7), pytest.approx([-0.25, 0.25], abs=3e-7)]


@pytest.mark.parametrize("gamma", [0, 0.25, 0.5, 1, 1.5, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradcheck(gamma, weighted):
    logits = (3 * torch.randn(3, 3, dtype=torch.float64)).requires_grad_()
    weight = torch.rand(3, dtype=torch.float64) if weighted else None

    def sigmoid_form(x):
        return mmcv.ops.sigmoid_focal_loss(x, torch.tensor([0, 1, 1 if weighted else 3]), gamma, ALPHA, weight, "none")

    def softmax_form(x):
        return mmcv.ops.softmax_focal_loss(x, torch.tensor([0, 1, -1]), gamma, ALPHA, weight, "mean")

    for form in (sigmoid_form, softmax_form):
        assert torch.autograd.gradcheck(form, logits, atol=1e-8)


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
