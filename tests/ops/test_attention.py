"""Compare attention by the compiled kernel with PyTorch in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mmbeit3.ops import attend
from mmbeit3.ops.attention import _compiled

pytestmark = pytest.mark.skipif(not _compiled(), reason="no C compiler here")


def exact(q, k, v):
    return F.scaled_dot_product_attention(q.double(), k.double(), v.double())


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 2),
    heads=st.integers(1, 3),
    queries=st.sampled_from([2, 5, 6, 47, 48, 49, 100]),
    keys=st.sampled_from([32, 33, 63, 64, 65, 255, 256, 257, 300]),
    d=st.sampled_from([1, 7, 16, 24, 44, 64, 88, 100, 128, 256]),
    scale=st.sampled_from([0.1, 1.0, 5.0]),
    half=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_equals_float64(batch, heads, queries, keys, d, scale, half, seed):
    torch.manual_seed(seed)
    q = torch.randn(batch, heads, queries, d) * scale
    k, v = torch.randn(2, batch, heads, keys, d).unbind()
    if half:
        q, k, v = q.bfloat16(), k.bfloat16(), v.bfloat16()
    ours = attend(q, k, v)
    assert ours.shape == q.shape
    assert ours.dtype == q.dtype
    assert (ours.double() - exact(q, k, v)).abs().max() < (3e-2 if half else 2e-5)


def test_as_laid_out_by_the_tower():
    qkv = torch.randn(2, 50, 3, 4, 24)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()
    ours = attend(q, k, v)
    torch.testing.assert_close(ours.double(), exact(q, k, v), atol=1e-5, rtol=1e-5)
    # Merging the heads again copies nothing.
    assert ours.transpose(1, 2).is_contiguous()


def test_large_scores_do_not_overflow():
    q, k = torch.full((1, 1, 6, 16), 30.0), torch.full((1, 1, 40, 16), 30.0)
    v = torch.randn(1, 1, 40, 16)
    torch.testing.assert_close(attend(q, k, v), v.mean(dim=2, keepdim=True).expand(-1, -1, 6, -1), atol=1e-5, rtol=1e-5)
    # One key outweighs all others by far, from the first block or the last.
    for place in (0, 299):
        k = torch.zeros(1, 1, 300, 16)
        k[..., place, :] = 100.0
        v = torch.randn(1, 1, 300, 16)
        torch.testing.assert_close(attend(q, k, v), v[:, :, place : place + 1].expand(-1, -1, 6, -1))


def test_gradients_and_masks_are_pytorchs():
    q, k, v = torch.randn(3, 1, 2, 40, 16).unbind()
    mask = torch.rand(40, 40) > 0.3
    assert torch.equal(attend(q, k, v, mask), F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
    q.requires_grad_()
    assert torch.equal(attend(q, k, v), F.scaled_dot_product_attention(q, k, v))
    (grad,) = torch.autograd.grad(attend(q, k, v).sum(), q)
    assert grad.shape == q.shape


def test_registered_as_it_should_be():
    q, k, v = torch.randn(3, 1, 2, 40, 16).unbind()
    torch.library.opcheck(torch.ops.mmbeit3.attention, (q, k, v))
    compiled = torch.compile(attend, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(q, k, v), attend(q, k, v))
