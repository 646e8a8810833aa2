import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

from mmbeit3.ops import ms_deform_attn
from mmbeit3.ops.deform_attn import usable_kernels


def inputs(shapes, B=2, heads=2, d=3, Q=5, P=2, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(B, sum(h * w for h, w in shapes), heads, d, generator=generator)
    locations = 0.5 + spread * (torch.rand(B, Q, heads, len(shapes), P, 2, generator=generator) - 0.5) * 2
    weights = torch.rand(B, Q, heads, len(shapes), P, generator=generator)
    return value, locations, weights


def by_hand(value, shapes, locations, weights):
    """Compute the definition, one sample at a time."""
    B, _, heads, d = value.shape
    _, Q, _, _, P, _ = locations.shape
    out = value.new_zeros(B, Q, heads, d)
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


# Triton's and mmcv's need a GPU.
USABLE = [name for name, reason in usable_kernels(torch.device("cpu"), torch.float32).items() if reason is None]
KERNEL = pytest.mark.parametrize("kernel", USABLE)


@KERNEL
@settings(max_examples=15, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=3),
    spread=st.sampled_from([0.5, 1.0, 3.0]),
    seed=st.integers(0, 1000),
)
def test_equals_the_definition(kernel, shapes, spread, seed):
    value, locations, weights = inputs(shapes, seed=seed, spread=spread)
    ours = ms_deform_attn(value, shapes, locations, weights, kernel=kernel)
    torch.testing.assert_close(ours, by_hand(value, shapes, locations, weights), atol=1e-5, rtol=1e-4)


@settings(max_examples=10, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=3),
    spread=st.sampled_from([0.5, 1.0, 3.0]),
    seed=st.integers(0, 1000),
)
def test_equals_the_definition_in_float64(shapes, spread, seed):
    value, locations, weights = (tensor.double() for tensor in inputs(shapes, seed=seed, spread=spread))
    ours = ms_deform_attn(value, shapes, locations, weights)
    torch.testing.assert_close(ours, by_hand(value, shapes, locations, weights), atol=1e-12, rtol=1e-12)


def gradients(tensors, shapes, kernel, grad):
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    out = ms_deform_attn(leaves[0], shapes, leaves[1], leaves[2], kernel=kernel)
    return out, *torch.autograd.grad(out, leaves, grad.to(out.dtype))


@KERNEL
@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4),
    batch=st.integers(1, 3),
    heads=st.integers(1, 5),
    d=st.sampled_from([1, 3, 8, 16, 24, 32, 44, 64, 100]),
    queries=st.sampled_from([1, 7, 64, 65, 200]),
    points=st.integers(1, 5),
    spread=st.sampled_from([0.5, 1.0, 3.0]),
    half=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_equal_float64(kernel, shapes, batch, heads, d, queries, points, spread, half, seed):
    tensors = inputs(shapes, batch, heads, d, queries, points, seed, spread)
    if half:
        tensors = (tensors[0].bfloat16(), *tensors[1:])
    grad = torch.randn(batch, queries, heads * d, generator=torch.Generator().manual_seed(seed))
    if half:
        grad = grad.bfloat16()
    exact = gradients([t.double() for t in tensors], shapes, "reference", grad.double())
    found = gradients(tensors, shapes, kernel, grad)
    # The derivative by a place jumps where a point crosses a cell's centre.
    pixels = tensors[1].double() * torch.tensor([(w, h) for h, w in shapes])[:, None] - 0.5
    smooth = (pixels - pixels.round()).abs() > 1e-4
    assert found[0].dtype == found[1].dtype == tensors[0].dtype
    for name, ours, theirs in zip(("output", "value", "locations", "weights"), found, exact, strict=True):
        if name == "locations":
            ours, theirs = ours * smooth, theirs * smooth
        scale = theirs.abs().max().clamp(min=1.0)
        rounded = half and name in ("output", "value")
        assert ((ours.double() - theirs) / scale).abs().max() < (8e-3 if rounded else 2e-5), name


@KERNEL
def test_inputs_that_are_not_contiguous(kernel):
    shapes = [(4, 5), (3, 2)]
    value, locations, weights = inputs(shapes, heads=3, d=8)
    expected = gradients((value, locations, weights), shapes, kernel, torch.ones(2, 5, 24))
    strided = (value.transpose(1, 2).contiguous().transpose(1, 2), locations.flip(0).flip(0), weights.mT.contiguous().mT)
    assert not strided[0].is_contiguous()
    found = gradients(strided, shapes, kernel, torch.ones(1, 1, 1).expand(2, 5, 24))
    torch.testing.assert_close(found, expected)


@KERNEL
@pytest.mark.parametrize("empty", ["queries", "batch"])
def test_nothing_to_do(kernel, empty):
    shapes = [(3, 4)]
    B, Q = (2, 0) if empty == "queries" else (0, 5)
    tensors = inputs(shapes, B=B, Q=Q)
    out, *grads = gradients(tensors, shapes, kernel, torch.ones(B, Q, 6))
    assert out.shape == (B, Q, 6)
    assert [g.shape for g in grads] == [t.shape for t in tensors]
    assert not grads[0].any()


@KERNEL
def test_places_that_are_no_numbers_or_far_away(kernel):
    shapes = [(3, 4)]
    value, locations, weights = inputs(shapes)
    locations[0, 0, 0, 0, 0] = torch.tensor([1e30, -1e30])
    locations[0, 1, 0, 0, 0] = torch.tensor([float("inf"), 0.5])
    out, *grads = gradients((value, locations, weights), shapes, kernel, torch.ones(2, 5, 6))
    fine = torch.ones(2, 5, dtype=torch.bool)
    fine[0, 1] = False
    assert out[fine].isfinite().all()
    assert grads[0].isfinite().all()


@pytest.mark.skipif("cpu" not in USABLE, reason="no C compiler here")
def test_a_place_without_a_number_is_outside():
    # (PyTorch's own sampling makes a number of it, which one is undefined.)
    shapes = [(3, 4)]
    value, locations, weights = inputs(shapes, P=1)
    locations[0, 0, 0, 0, 0, 0] = float("nan")
    out, *grads = gradients((value, locations, weights), shapes, "cpu", torch.ones(2, 5, 6))
    assert not out[0, 0, :3].any()
    assert all(grad.isfinite().all() for grad in grads)


@KERNEL
def test_the_same_again_whatever_the_threads(kernel):
    shapes = [(9, 9), (5, 5)]
    tensors = inputs(shapes, heads=4, d=16, Q=130)
    grad = torch.randn(2, 130, 64)
    once = gradients(tensors, shapes, kernel, grad)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again = gradients(tensors, shapes, kernel, grad)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_gradcheck_of_the_reference():
    shapes = [(3, 4), (2, 2)]
    tensors = [t.double().requires_grad_() for t in inputs(shapes, B=1, Q=3)]
    assert torch.autograd.gradcheck(lambda v, loc, w: ms_deform_attn(v, shapes, loc, w), tensors)


@KERNEL
def test_compiled_without_a_break(kernel):
    shapes = [(4, 5), (3, 2)]
    tensors = inputs(shapes)
    compiled = torch.compile(
        lambda v, loc, w: ms_deform_attn(v, shapes, loc, w, kernel=kernel) * 2, fullgraph=True, backend="aot_eager"
    )
    leaves = [t.clone().requires_grad_() for t in tensors]
    out = compiled(*leaves)
    out.sum().backward()
    expected = gradients(tensors, shapes, kernel, torch.full((2, 5, 6), 2.0))
    torch.testing.assert_close(out / 2, expected[0])
    for leaf, grad in zip(leaves, expected[1:], strict=True):
        torch.testing.assert_close(leaf.grad, grad)


@pytest.mark.skipif("cpu" not in USABLE, reason="no C compiler here")
def test_registered_as_it_should_be():
    shapes = [(4, 5), (3, 2)]
    value, *points = inputs(shapes)
    arguments = (value, [4, 5, 3, 2], None, None, *points, "cpu")
    torch.library.opcheck(torch.ops.mmbeit3.ms_deform_attn, arguments)
    torch.library.opcheck(torch.ops.mmbeit3.ms_deform_attn_backward, (torch.ones(2, 5, 6), *arguments))


def test_on_the_meta_device():
    shapes = [(4, 5), (3, 2)]
    value, locations, weights = (t.to("meta") for t in inputs(shapes))
    assert ms_deform_attn(value, shapes, locations, weights).shape == (2, 5, 6)


@KERNEL
def test_under_autocast(kernel):
    shapes = [(100, 100)]
    value, locations, weights = inputs(shapes, spread=0.4)
    full = ms_deform_attn(value, shapes, locations, weights, kernel=kernel)
    with torch.autocast("cpu", torch.bfloat16):
        half = ms_deform_attn(value.bfloat16(), shapes, locations, weights.bfloat16(), kernel=kernel)
    assert half.dtype == torch.bfloat16
    assert (full - half.float()).abs().max() < 0.05


def test_forced_by_name(monkeypatch):
    shapes = [(3, 4)]
    value, locations, weights = inputs(shapes)
    with pytest.raises(ValueError, match="no kernel 'fast': choose one of cpu, triton, mmcv, reference"):
        ms_deform_attn(value, shapes, locations, weights, kernel="fast")
    with pytest.raises(RuntimeError, match="cannot use kernel 'mmcv': mmcv's kernel cannot reach cpu memory"):
        ms_deform_attn(value, shapes, locations, weights, kernel="mmcv")
    monkeypatch.setenv("MMBEIT3_DEFORM_ATTN", "slow")
    with pytest.raises(ValueError, match="no kernel 'slow'"):
        ms_deform_attn(value, shapes, locations, weights)


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
    """mmcv's autograd function, which it uses on GPUs, works with the op in use."""
    shapes = [(4, 5), (2, 3)]
    tensors = [t.requires_grad_() for t in inputs(shapes)]
    theirs = MultiScaleDeformableAttnFunction.apply(
        tensors[0], torch.tensor(shapes), torch.tensor([0, 20]), tensors[1], tensors[2], 64
    )
    ours = ms_deform_attn(tensors[0], shapes, tensors[1], tensors[2])
    torch.testing.assert_close(theirs, ours)
    grad = torch.randn_like(ours)
    torch.testing.assert_close(torch.autograd.grad(theirs, tensors, grad), torch.autograd.grad(ours, tensors, grad))


def test_mmcv_falls_back_to_it():
    """mmcv's layer calls mmbeit3's function instead of mmcv's CPU fallback, which remains available."""
    from mmcv.ops import multi_scale_deform_attn as theirs

    shapes = [(4, 5), (2, 3)]
    tensors = inputs(shapes)
    ours = theirs.multi_scale_deformable_attn_pytorch(tensors[0], torch.tensor(shapes), *tensors[1:])
    own = theirs.multi_scale_deformable_attn_pytorch.__wrapped__(tensors[0], torch.tensor(shapes), *tensors[1:])
    torch.testing.assert_close(ours, own, atol=1e-5, rtol=1e-5)
    assert ours.grad_fn is None
    assert torch.equal(ours, ms_deform_attn(tensors[0], shapes, *tensors[1:]))


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
