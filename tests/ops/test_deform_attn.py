import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

from mmbeit3.ops import ms_deform_attn


def inputs(shapes, B=2, heads=2, d=3, Q=5, P=2, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(B, sum(h * w for h, w in shapes), heads, d, generator=generator)
    locations = 0.5 + spread * (torch.rand(B, Q, heads, len(shapes), P, 2, generator=generator) - 0.5) * 2
    weights = torch.rand(B, Q, heads, len(shapes), P, generator=generator)
    return value, locations, weights


def by_hand(value, shapes, locations, weights):
    """One sample at a time, from the definition."""
    B, _, heads, d = value.shape
    _, Q, _, _, P, _ = locations.shape
    out = torch.zeros(B, Q, heads, d)
    for b in range(B):
        for q in range(Q):
            for h in range(heads):
                start = 0
                for level, (rows, columns) in enumerate(shapes):
                    for p in range(P):
                        x = float(locations[b, q, h, level, p, 0]) * columns - 0.5
                        y = float(locations[b, q, h, level, p, 1]) * rows - 0.5
                        for i in (math.floor(y), math.floor(y) + 1):
                            for j in (math.floor(x), math.floor(x) + 1):
                                if 0 <= i < rows and 0 <= j < columns:
                                    share = (1 - abs(y - i)) * (1 - abs(x - j))
                                    cell = value[b, start + i * columns + j, h]
                                    out[b, q, h] += float(weights[b, q, h, level, p]) * share * cell
                    start += rows * columns
    return out.flatten(2)


@settings(max_examples=15, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=3),
    spread=st.sampled_from([0.5, 1.0, 3.0]),
    seed=st.integers(0, 1000),
)
def test_equals_the_definition(shapes, spread, seed):
    value, locations, weights = inputs(shapes, seed=seed, spread=spread)
    ours = ms_deform_attn(value, shapes, locations, weights)
    torch.testing.assert_close(ours, by_hand(value, shapes, locations, weights), atol=1e-5, rtol=1e-4)


def test_bfloat16_keeps_coordinates():
    shapes = [(100, 100)]
    value, locations, weights = inputs(shapes, spread=0.4)
    full = ms_deform_attn(value, shapes, locations, weights)
    half = ms_deform_attn(value.bfloat16(), shapes, locations, weights)
    assert half.dtype == torch.bfloat16
    assert (full - half.float()).abs().max() < 0.05


@pytest.mark.parametrize(
    ("change", "reason"), [("value", "cells"), ("locations", "must start with"), ("weights", "must start with")]
)
def test_wrong_shapes(change, reason):
    shapes = [(3, 4)]
    tensors = dict(zip(("value", "locations", "weights"), inputs(shapes), strict=True))
    tensors[change] = tensors[change][:, 1:]
    with pytest.raises(ValueError, match=reason):
        ms_deform_attn(tensors["value"], shapes, tensors["locations"], tensors["weights"])


def test_mmcv_calls_it():
    """mmcv's own autograd function, which it uses on GPUs, over the operator in use."""
    shapes = [(4, 5), (2, 3)]
    tensors = [t.requires_grad_() for t in inputs(shapes)]
    theirs = MultiScaleDeformableAttnFunction.apply(
        tensors[0], torch.tensor(shapes), torch.tensor([0, 20]), tensors[1], tensors[2], 64
    )
    ours = ms_deform_attn(tensors[0], shapes, tensors[1], tensors[2])
    torch.testing.assert_close(theirs, ours)
    grad = torch.randn_like(ours)
    torch.testing.assert_close(torch.autograd.grad(theirs, tensors, grad), torch.autograd.grad(ours, tensors, grad))


def test_layer_equals_mmcvs():
    from mmbeit3.models.layers import DeformableAttention

    torch.manual_seed(1)
    shapes = [(4, 4), (2, 2)]
    theirs = MultiScaleDeformableAttention(16, 4, 2, 4, dropout=0.0, batch_first=True, value_proj_ratio=0.5)
    ours = DeformableAttention(16, 4, 2, 4, ratio=0.5)
    torch.testing.assert_close(ours.sampling_offsets.bias, theirs.sampling_offsets.bias, atol=1e-5, rtol=1e-5)
    for layer in (theirs.sampling_offsets, theirs.attention_weights):
        torch.nn.init.normal_(layer.weight, std=0.5)
    ours.load_state_dict(theirs.state_dict())
    query, value, points = torch.randn(2, 7, 16), torch.randn(2, 20, 16), torch.rand(2, 7, 2, 2)
    expected = theirs(
        query,
        value=value,
        identity=torch.zeros_like(query),
        reference_points=points,
        spatial_shapes=torch.tensor(shapes),
        level_start_index=torch.tensor([0, 16]),
    )
    torch.testing.assert_close(ours(query, points, value, shapes), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu():
    shapes = [(7, 5), (3, 2)]
    tensors = inputs(shapes)
    on_gpu = ms_deform_attn(tensors[0].cuda(), shapes, tensors[1].cuda(), tensors[2].cuda())
    torch.testing.assert_close(on_gpu.cpu(), ms_deform_attn(tensors[0], shapes, *tensors[1:]), atol=1e-4, rtol=1e-4)
