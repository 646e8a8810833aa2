"""The Triton kernels against the definition in float64.

On a machine with a GPU the comparisons run there. On all machines they also run in a separate process under
Triton's interpreter, which must be asked for before triton is imported.
"""

import inspect
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from mmbeit3.ops import fused_ms_deform_attn
from mmbeit3.ops.deform_attn import triton_kernel

triton = pytest.importorskip("triton")

INTERPRETED = not isinstance(triton_kernel.forward_kernel, triton.JITFunction)
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")
TOLERANCES = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}

compares = pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="no GPU")
compiled_only = pytest.mark.skipif(INTERPRETED, reason="about the compiled kernels")


def inputs(shapes, B=2, heads=2, d=3, Q=3, P=2, seed=0, spread=1.0, dtype=torch.float32, device=DEVICE):
    """Return values, shapes, points up to ``spread`` maps from the centre, weights, and a gradient of the output."""
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(B, sum(h * w for h, w in shapes), heads, d, generator=generator)
    locations = 0.5 + spread * (torch.rand(B, Q, heads, len(shapes), P, 2, generator=generator) - 0.5) * 2
    # Gradients of locations jump from cell to cell, so that no point may be so close to one that rounding moves it across.
    widths = torch.tensor([(w, h) for h, w in shapes])[:, None]
    places = locations * widths - 0.5
    locations = locations + ((places - places.round()).abs() < 1e-3) * 0.01 / widths
    weights = torch.rand(B, Q, heads, len(shapes), P, generator=generator)
    gradient = torch.randn(B, Q, heads * d, generator=generator)
    return value.to(device, dtype), shapes, locations.to(device), weights.to(device), gradient.to(device, dtype)


def layer_inputs(shapes, size=2, images=None, dtype=torch.float32, **sizes):
    """Return values, shapes, offsets, logits, a gradient of the output, and reference points or boxes (``size`` 2 or 4).

    References are on multiples of a quarter of a cell, offsets on odd multiples of an eighth: no point is so close to a cell's
    centre that rounding moves it across.
    """
    value, _, locations, _, gradient = inputs(shapes, dtype=dtype, **sizes)
    B, Q, heads, L, P, _ = locations.shape
    generator = torch.Generator().manual_seed(sizes.get("seed", 0))
    widths = torch.tensor([(w, h) for h, w in shapes])
    centres = (torch.rand(images or B, Q, L, 2, generator=generator) * widths * 4).round() / 4
    offsets = torch.randint(-8, 8, locations.shape, generator=generator) / 4 + 0.125
    references = centres / widths
    if size == 4:
        # A side of 2 * P cells: an offset of one is then one cell.
        references = torch.cat([references, (2.0 * P / widths).expand_as(references)], dim=-1)
    logits = torch.randn(B, Q, heads, L * P, generator=generator) * 2
    return value, shapes, offsets.to(DEVICE, dtype), logits.to(DEVICE, dtype), gradient, references.to(DEVICE)


def definition(value, shapes, locations, weights, references=None):
    """Sample bilinearly with plain, differentiable operations."""
    if references is not None:
        sizes = torch.tensor([(w, h) for h, w in shapes], device=value.device)[:, None]
        around = references[:, :, None, :, None]
        weights = weights.softmax(-1).view(locations.shape[:-1])
        if around.shape[-1] == 4:
            locations = around[..., :2] + locations / locations.shape[4] * around[..., 2:] * 0.5
        else:
            locations = around + locations / sizes
    B, _, heads, d = value.shape
    Q, P = locations.shape[1], locations.shape[4]
    output, first = value.new_zeros(B, Q, heads, d), 0
    for level, (h, w) in enumerate(shapes):
        cells = value[:, first : first + h * w].transpose(1, 2)  # (B, heads, h * w, d)
        first += h * w
        x = locations[:, :, :, level, :, 0] * w - 0.5  # (B, Q, heads, P)
        y = locations[:, :, :, level, :, 1] * h - 0.5
        left, upper = x.detach().floor(), y.detach().floor()
        for dx, share_x in enumerate((1 - (x - left), x - left)):
            for dy, share_y in enumerate((1 - (y - upper), y - upper)):
                column, row = left + dx, upper + dy
                inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
                share = share_x * share_y * inside * weights[:, :, :, level]
                index = torch.where(inside, row * w + column, 0).long().transpose(1, 2).flatten(2)  # (B, heads, Q * P)
                read = cells.gather(2, index[..., None].expand(-1, -1, -1, d)).view(B, heads, Q, P, d)
                output = output + (share.transpose(1, 2)[..., None] * read).sum(3).transpose(1, 2)
    return output.flatten(2)


def compare(value, shapes, points, scores, gradient, *references):
    """Compare output and gradients with those of the definition for the same, possibly rounded, values."""
    exact = [tensor.detach().double().requires_grad_() for tensor in (value, points, scores)]
    output = definition(exact[0], shapes, *exact[1:], *(tensor.double() for tensor in references))
    wanted = [output, *torch.autograd.grad(output, exact, gradient.double())]
    got = [triton_kernel.forward(value, shapes, points, scores, *references)]
    got += triton_kernel.backward(value, shapes, points, scores, gradient, *references)
    dtypes = [value.dtype, value.dtype, points.dtype, scores.dtype]
    for one, other, dtype in zip(got, wanted, dtypes, strict=True):
        assert one.dtype == dtype
        assert one.is_contiguous()
        # The largest number sets the scale: gradients of locations grow with the map's size, and many terms cancel.
        scale = max(1.0, other.abs().max().item()) if other.numel() else 1.0
        torch.testing.assert_close(one.double() / scale, other / scale, atol=TOLERANCES[dtype] / 2, rtol=TOLERANCES[dtype])


@pytest.mark.skipif(INTERPRETED, reason="runs the interpreter")
def test_under_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", str(Path(__file__).resolve())]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout, run.stdout


@compares
@pytest.mark.parametrize(
    ("d", "dtype"),
    [(1, torch.bfloat16), (3, torch.float16), (24, torch.float32), (32, torch.bfloat16), (44, torch.float16)],
)
def test_widths_and_types(d, dtype):
    compare(*inputs([(5, 7), (3, 2)], d=d, dtype=dtype))


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


class Counting:
    """A kernel that counts its launches, and launches only if ``real``."""

    def __init__(self, kernel, counts, real):
        self.kernel, self.counts, self.real = kernel, counts, real

    def __getitem__(self, grid):
        self.counts.append(self.kernel)
        return self.kernel[grid] if self.real else lambda *_, **__: None


class Calls(TorchDispatchMode):
    """Record PyTorch's operators and the shapes of their results."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls.append((func.overloadpacket.__name__, tuple(getattr(result, "shape", ()))))
        return result


def counted(monkeypatch, real):
    counts = []
    for name in ("forward_kernel", "backward_kernel"):
        monkeypatch.setattr(triton_kernel, name, Counting(getattr(triton_kernel, name), counts, real))
    return counts


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


@compares
@pytest.mark.parametrize("seed", range(6))
def test_sizes(seed):
    draw = torch.Generator().manual_seed(seed)

    def number(low, high):
        return int(torch.randint(low, high + 1, (), generator=draw))

    shapes = [(number(1, 9), number(1, 9)) for _ in range(number(1, 3))]
    sizes = {"B": number(1, 2), "heads": number(1, 3), "d": number(1, 9), "Q": number(1, 12), "P": number(1, 6)}
    compare(*inputs(shapes, **sizes, seed=seed, spread=[0.5, 1.0, 3.0][seed % 3]))


@compares
def test_many_queries_on_one_cell():
    compare(*inputs([(1, 1), (1, 3)], B=1, Q=70, heads=1))


@compares
def test_points_on_cells_and_edges():
    """If float32 and float64 coordinates are both exact, both choose the same cells."""
    value, shapes, locations, weights, gradient = inputs([(8, 4)], B=1, heads=1, Q=144, P=1)
    steps = torch.arange(-2, 10, dtype=torch.float32, device=DEVICE)
    x, y = (steps + 0.5) / 4, (steps + 0.5) / 8
    compare(value, shapes, torch.cartesian_prod(x, y).view_as(locations), weights, gradient)


@compares
def test_far_and_missing_points():
    value, shapes, locations, weights, gradient = inputs([(5, 7), (3, 2)])
    nowhere = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 3e9, -3e9], device=DEVICE)
    odd, far = locations.clone(), locations.clone()
    for i, number in enumerate(nowhere):
        # One coordinate of some points, so that the other one alone would be on the map.
        odd.view(-1, 2)[3 * i, i % 2] = number
        far.view(-1, 2)[3 * i, i % 2] = 5.0
    assert torch.equal(triton_kernel.forward(value, shapes, odd, weights), triton_kernel.forward(value, shapes, far, weights))
    for one, other in zip(
        triton_kernel.backward(value, shapes, odd, weights, gradient),
        triton_kernel.backward(value, shapes, far, weights, gradient),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    assert torch.count_nonzero(triton_kernel.backward(value, shapes, odd, weights, gradient)[2].view(-1)[:21:3]) == 0


@compares
def test_not_contiguous():
    value, shapes, locations, weights, gradient = inputs([(4, 3), (2, 5)], heads=3, Q=6)
    value = value.transpose(1, 2).contiguous().transpose(1, 2)
    locations = locations.flip(-1).transpose(0, 5).contiguous().transpose(0, 5)
    weights = weights[:, :, :, :, :1].expand_as(weights)
    gradient = gradient[:, :1].expand_as(gradient)
    assert not any(tensor.is_contiguous() for tensor in (value, locations, weights, gradient))
    compare(value, shapes, locations, weights, gradient)


@compares
@pytest.mark.parametrize("sizes", [{"Q": 0}, {"B": 0}, {"heads": 0}, {"P": 0}])
def test_nothing_to_do(sizes):
    value, shapes, locations, weights, gradient = inputs([(4, 3)], **sizes)
    output = triton_kernel.forward(value, shapes, locations, weights)
    assert output.shape == gradient.shape
    assert not output.any()
    gradients = triton_kernel.backward(value, shapes, locations, weights, gradient)
    for one, other in zip(gradients, (value, locations, weights), strict=True):
        assert one.shape == other.shape
        assert not one.any()


@compares
def test_deterministic_parts():
    value, shapes, locations, weights, gradient = inputs([(6, 6)], Q=20)
    runs = [
        (
            triton_kernel.forward(value, shapes, locations, weights),
            *triton_kernel.backward(value, shapes, locations, weights, gradient)[1:],
        )
        for _ in range(2)
    ]
    for other in runs[1:]:
        assert all(map(torch.equal, runs[0], other))


@compares
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"value": lambda t: t[:, 1:]}, "do not match"),
        ({"locations": lambda t: t[:, 1:]}, "do not match"),
        ({"locations": lambda t: t[..., 0]}, "do not match"),
        ({"weights": lambda t: t[:, :, :, :, 1:]}, "do not match"),
        ({"weights": lambda t: t.double()}, "float32"),
        ({"locations": lambda t: t.double()}, "float32"),
    ],
)
def test_refuses(change, reason):
    tensors = dict(zip(("value", "shapes", "locations", "weights", "gradient"), inputs([(3, 4)]), strict=True))
    for name, altered in change.items():
        tensors[name] = altered(tensors[name])
    *arguments, gradient = tensors.values()
    with pytest.raises(ValueError, match=reason):
        triton_kernel.forward(*arguments)
    with pytest.raises(ValueError, match=reason):
        triton_kernel.backward(*arguments, gradient)


@compares
def test_refuses_another_gradient():
    *tensors, gradient = inputs([(3, 4)])
    with pytest.raises(ValueError, match="grad_output"):
        triton_kernel.backward(*tensors, gradient[:, 1:])


@compiled_only
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", list(TOLERANCES))
def test_sizes_of_a_detector(dtype):
    shapes = [(100, 134), (50, 67), (25, 34), (13, 17)]
    sizes = {"B": 2, "heads": 8, "d": 32, "Q": 900, "P": 4}
    compare(*inputs(shapes, **sizes, spread=0.6, dtype=dtype, device=torch.device("cuda")))


@compiled_only
@pytest.mark.parametrize(
    ("kind", "element", "d", "L", "P", "heads", "most"),
    [
        # The adapter's modules and Mask2Former's pixel decoder; the most registers of forward and backward.
        ("points", "bf16", 32, 3, 4, 16, (96, 80)),
        ("points", "fp32", 32, 1, 4, 12, (64, 64)),
        ("locations", "fp16", 44, 2, 3, 1, (128, 80)),
        ("boxes", "bf16", 32, 3, 4, 8, (96, 96)),
    ],
)
@pytest.mark.parametrize("name", ["forward_kernel", "backward_kernel"])
def test_compiles_without_a_gpu(name, kind, element, d, L, P, heads, most, monkeypatch, tmp_path):
    """The interpreter accepts code that the compiler refuses, and the compiler needs no GPU."""
    from triton.backends.compiler import GPUTarget

    if "constexprs" not in inspect.signature(triton.compiler.ASTSource).parameters:
        pytest.skip("this version of triton has another argument for constants")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(triton_kernel, name)
    backward = name == "backward_kernel"
    plan = triton_kernel._plan(backward, 4 if element == "fp32" else 2, 2, 4096, heads, P, d)
    constants = {"KIND": kind, "ONE": True, "H": heads, "L": L, "P": P, "D": d}
    constants |= {"BLOCK": plan.block, "P2": plan.P2, "D2": plan.D2}
    if backward:
        constants["L2"] = triton.next_power_of_2(L)
    types = dict.fromkeys(kernel.arg_names, "i32") | dict.fromkeys(constants, "constexpr")
    types |= dict.fromkeys(set(types) & {"value", "output", "grad_output"}, f"*{element}") | {"sizes": "*i64"}
    given = "*fp32" if kind == "locations" else f"*{element}"
    types |= dict.fromkeys(set(types) & {"points", "scores", "grad_points", "grad_scores"}, given)
    types |= dict.fromkeys(set(types) & {"references", "grad_value"}, "*fp32")
    source = triton.compiler.ASTSource(
        fn=kernel,
        signature={argument: types[argument] for argument in kernel.arg_names},
        constexprs={(kernel.arg_names.index(argument),): constant for argument, constant in constants.items()},
        # PyTorch aligns its memory; wide reads and additions depend on it.
        attrs={(i,): [["tt.divisibility", 16]] for i, name in enumerate(kernel.arg_names) if types[name].startswith("*")},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": plan.warps})
    assert compiled.asm["cubin"]
    if backward:
        assert "red.global" in compiled.asm["ptx"] or "atom.global" in compiled.asm["ptx"]
        assert ".v4.f32" in compiled.asm["ptx"], "additions of single numbers"
    # Memory for exchange between threads: whole tiles of values must not be in it.
    assert compiled.metadata.shared <= 4096
    registers, local = resources(compiled, tmp_path)
    assert local == 0, "registers spilled to memory"
    assert registers <= most[backward]


def resources(compiled, folder):
    """Return a kernel's registers per thread, and bytes of stack and local memory, from its binary."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    if not tool.is_file():
        pytest.skip("this build of triton has no cuobjdump")
    file = folder / "kernel.cubin"
    file.write_bytes(compiled.asm["cubin"])
    text = subprocess.run([tool, "-res-usage", file], capture_output=True, text=True, check=True).stdout
    usage = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", text))
    return int(usage["REG"]), int(usage["STACK"]) + int(usage["LOCAL"])


@compiled_only
def test_unavailable():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert "cpu" in triton_kernel.unavailable(cpu, torch.float32)
    assert "float64" in triton_kernel.unavailable(cuda, torch.float64)
    *tensors, _ = inputs([(3, 4)], device=cpu)
    with pytest.raises(RuntimeError, match="cpu"):
        triton_kernel.forward(*tensors)


@compiled_only
def test_unavailable_without_compiler(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    fresh = runpy.run_path(triton_kernel.__file__)
    assert "C compiler" in fresh["unavailable"](torch.device("cuda"), torch.float32)
    monkeypatch.setenv("CC", "/opt/cc")
    monkeypatch.setattr(shutil, "which", {"/opt/cc": "/opt/cc"}.get)
    fresh = runpy.run_path(triton_kernel.__file__)
    reason = fresh["unavailable"](torch.device("cuda"), torch.float32)
    assert reason is None or "Python.h" in reason


def test_unavailable_without_triton(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    fresh = runpy.run_path(triton_kernel.__file__)
    assert fresh["unavailable"](torch.device("cuda"), torch.float32) == "triton is not installed"


@pytest.mark.skipif(not INTERPRETED, reason="about the interpreter")
def test_interpreter_takes_any_device():
    assert triton_kernel.unavailable(torch.device("cpu"), torch.float16) is None
    assert "float64" in triton_kernel.unavailable(torch.device("cpu"), torch.float64)
