"""The Triton kernels from offsets and logits, against the definition in float64, and what a call launches and allocates.

Without a GPU, ``test_deform_attn_triton.py`` runs these tests under Triton's interpreter.
"""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from mmbeit3.ops import fused_ms_deform_attn
from mmbeit3.ops.deform_attn import triton_kernel
from tests.ops.triton_cases import DEVICE, Calls, compare, compares, counted, definition, layer_inputs


@compares
@pytest.mark.parametrize(
    ("d", "P", "size", "images", "dtype"),
    [
        (3, 1, 2, 1, torch.float32),
        (3, 5, 4, 1, torch.bfloat16),
        (32, 4, 2, 1, torch.float16),
        (32, 4, 4, None, torch.float32),
        (32, 3, 2, None, torch.bfloat16),
        (44, 3, 2, None, torch.float32),
    ],
)
def test_offsets_and_logits(d, P, size, images, dtype):
    compare(*layer_inputs([(5, 7), (3, 2), (1, 4)], d=d, P=P, Q=3, size=size, images=images, dtype=dtype))


@compares
@pytest.mark.parametrize("big", [80.0, -80.0])
def test_softmax_of_large_logits(big):
    value, shapes, offsets, logits, gradient, references = layer_inputs([(5, 7), (3, 2)], P=3)
    logits[..., 1] += big
    logits[:, 1] += 1e4
    compare(value, shapes, offsets, logits, gradient, references)


@compares
def test_shapes_in_a_tensor():
    *tensors, references = layer_inputs([(4, 3), (2, 5)])
    value, shapes, offsets, logits, gradient = tensors
    expected = triton_kernel.forward(value, shapes, offsets, logits, references)
    grads = triton_kernel.backward(value, shapes, offsets, logits, gradient, references)
    for kind in (torch.int64, torch.int32):
        sizes = torch.tensor(shapes, dtype=kind, device=DEVICE)
        assert torch.equal(triton_kernel.forward(value, sizes, offsets, logits, references), expected)
        found = triton_kernel.backward(value, sizes, offsets, logits, gradient, references)
        torch.testing.assert_close(found, grads)


@compares
@pytest.mark.parametrize(
    "wrong",
    [
        [(4, 3), (2, 6)],
        [(4, 3), (2, 4)],
        [(-4, -3), (2, 5)],
        [(22, 1), (0, 7)],
        [(2**62, 4), (22, 1)],
        [(2**31, 2**31), (2, 11)],
    ],
)
def test_wrong_shapes_in_a_tensor_give_nan_and_read_nothing_else(wrong):
    value, _, offsets, logits, gradient, references = layer_inputs([(4, 3), (2, 5)])
    sizes = torch.tensor(wrong, device=DEVICE)
    assert triton_kernel.forward(value, sizes, offsets, logits, references).isnan().all()
    # (Under the interpreter, an address outside of a tensor is an error or a crash.)
    assert triton_kernel.backward(value, sizes, offsets, logits, gradient, references)[0].isfinite().all()


@compares
def test_programs_of_several_blocks(monkeypatch):
    """A program takes several blocks of queries if there are many; the last program is not full."""
    *tensors, references = layer_inputs([(4, 3), (2, 5)], Q=6, d=32, P=4, heads=1)
    sizes = (True, 4, 2, 6, 1, 4, 32)
    assert triton_kernel._plan(*sizes).tiles == 1
    monkeypatch.setattr(triton_kernel, "_FEW_ROWS", 1)
    monkeypatch.setattr(triton_kernel, "_QUERIES", 4)
    triton_kernel._plan.cache_clear()
    try:
        assert triton_kernel._plan(*sizes)[:3] == (4, 4, 1)
        compare(*tensors, references)
    finally:
        triton_kernel._plan.cache_clear()


@compares
def test_one_launch_each_way(monkeypatch):
    value, shapes, offsets, logits, gradient, references = layer_inputs([(4, 3), (2, 5)], images=1)
    leaves = [tensor.requires_grad_() for tensor in (value, offsets, logits)]
    counts = counted(monkeypatch, real=True)
    # The first call chooses the kernel and makes the table of the levels.
    fused_ms_deform_attn(value, shapes, references, offsets, logits, kernel="triton")
    counts.clear()
    with Calls() as mode:
        output = fused_ms_deform_attn(value, shapes, references, offsets, logits, kernel="triton")
    assert len(counts) == 1
    assert [name for name, _ in mode.calls] == ["ms_deform_attn"]
    with Calls() as mode:
        torch.autograd.grad(output, leaves, gradient)
    assert len(counts) == 2
    assert [name for name, _ in mode.calls if name != "detach"] == ["ms_deform_attn_backward"]


@compares
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_the_gradient_of_values_is_filled_with_zeros(dtype, monkeypatch):
    value, shapes, offsets, logits, gradient, references = layer_inputs([(4, 3), (2, 5)], dtype=dtype)
    # The first call makes the table of the levels.
    triton_kernel.forward(value, shapes, offsets, logits, references)
    # The interpreter copies tensors.
    counts = counted(monkeypatch, real=False)
    with Calls() as mode:
        triton_kernel.forward(value, shapes, offsets, logits, references)
    assert [name for name, _ in mode.calls] == ["new_empty"]
    with Calls() as mode:
        triton_kernel.backward(value, shapes, offsets, logits, gradient, references)
    casts = ["_to_copy"] if dtype == torch.bfloat16 else []
    assert [name for name, _ in mode.calls] == ["zeros_like", "empty_like", "empty_like", *casts]
    assert [shape for _, shape in mode.calls] == [tuple(t.shape) for t in (value, offsets, logits, *[value] * len(casts))]
    assert len(counts) == 2


@compares
@pytest.mark.parametrize("size", [2, 4])
def test_layers(size, monkeypatch):
    """mmbeit3's layer, and mmcv's with another class, give the same with the kernels as in plain PyTorch."""
    import mmbeit3.registry  # noqa: F401  (before mmcv's operators)
    from mmbeit3.models.layers import DeformableAttention
    from mmbeit3.ops.mmcv_ext.layer import FusedMultiScaleDeformableAttention

    torch.manual_seed(0)
    shapes = [(4, 3), (2, 5)]
    query, value = (torch.randn(1, number, 12, device=DEVICE, requires_grad=True) for number in (3, 22))
    references = torch.rand(1, 3, 2, size, device=DEVICE)
    if size == 2:
        layer = DeformableAttention(12, 2, 2, 3)
        arguments = (query, references, value, shapes)
    else:
        layer = FusedMultiScaleDeformableAttention(12, 2, 2, 3, batch_first=True, dropout=0.0)
        sizes = torch.tensor(shapes, device=DEVICE)
        arguments = (query, None, value, None, None, torch.arange(22, device=DEVICE)[None] > 18, references, sizes)
    layer.to(DEVICE)
    results = []
    for kernel in ("triton", "reference"):
        monkeypatch.setenv("MMBEIT3_DEFORM_ATTN", kernel)
        counts = counted(monkeypatch, real=True)
        output = layer(*arguments)
        results.append((output, *torch.autograd.grad(output.square().sum(), [query, value, *layer.parameters()])))
        assert len(counts) == (2 if kernel == "triton" else 0)
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)


@compares
def test_references_with_a_gradient():
    value, shapes, offsets, logits, gradient, references = layer_inputs([(4, 3), (2, 5)])
    leaves = [tensor.requires_grad_() for tensor in (value, offsets, logits, references)]
    output = fused_ms_deform_attn(value, shapes, references, offsets, logits, kernel="triton")
    exact = [tensor.detach().double().requires_grad_() for tensor in leaves]
    wanted = definition(exact[0], shapes, *exact[1:])
    found = torch.autograd.grad(output, leaves, gradient)
    for one, other in zip(found, torch.autograd.grad(wanted, exact, gradient.double()), strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-4, rtol=1e-4)


@compares
def test_compiled_with_the_fused_kernels():
    value, shapes, offsets, logits, gradient, references = layer_inputs([(4, 3), (2, 5)])
    leaves = [tensor.requires_grad_() for tensor in (value, offsets, logits)]

    def call(value, offsets, logits):
        return fused_ms_deform_attn(value, shapes, references, offsets, logits, kernel="triton")

    found = torch.autograd.grad(torch.compile(call, fullgraph=True, backend="aot_eager")(*leaves), leaves, gradient)
    torch.testing.assert_close(found, torch.autograd.grad(call(*leaves), leaves, gradient))


@compares
def test_operators_are_registered_as_they_should_be():
    value, shapes, offsets, logits, gradient, references = layer_inputs([(4, 3), (2, 5)])
    sizes = torch.tensor(shapes, device=DEVICE)
    arguments = (value, [], sizes, references, offsets, logits, "triton")
    torch.library.opcheck(torch.ops.mmbeit3.ms_deform_attn, arguments)
    torch.library.opcheck(torch.ops.mmbeit3.ms_deform_attn_backward, (gradient, *arguments))
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert fused_ms_deform_attn(value, shapes, references, offsets, logits, kernel="triton").shape == gradient.shape


@compares
def test_no_second_derivative():
    value, shapes, offsets, logits, gradient, references = layer_inputs([(4, 3)])
    output = fused_ms_deform_attn(value.requires_grad_(), shapes, references, offsets, logits, kernel="triton")
    (first,) = torch.autograd.grad(output, value, gradient.requires_grad_(), create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        first.sum().backward()
