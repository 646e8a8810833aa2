"""The Triton kernels against the definition in float64.

On a machine with a GPU the comparisons run there. On all machines they also run in a separate process under
Triton's interpreter, which must be asked for before triton is imported.
"""

import inspect
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmbeit3.ops.deform_attn import triton_kernel

triton = pytest.importorskip("triton")

INTERPRETED = not isinstance(triton_kernel.forward_kernel, triton.JITFunction)
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")
TOLERANCES = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}

compares = pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="no GPU")
compiled_only = pytest.mark.skipif(INTERPRETED, reason="about the compiled kernels")


def inputs(shapes, B=2, heads=2, d=3, Q=5, P=2, seed=0, spread=1.0, dtype=torch.float32, device=DEVICE):
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


def definition(value, shapes, locations, weights):
    """Sample bilinearly with plain, differentiable operations."""
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


def compare(value, shapes, locations, weights, gradient):
    """Compare output and gradients with those of the definition for the same, possibly rounded, values."""
    exact = [tensor.detach().double().requires_grad_() for tensor in (value, locations, weights)]
    output = definition(exact[0], shapes, *exact[1:])
    wanted = [output, *torch.autograd.grad(output, exact, gradient.double())]
    got = [triton_kernel.forward(value, shapes, locations, weights)]
    got += triton_kernel.backward(value, shapes, locations, weights, gradient)
    dtypes = [value.dtype, value.dtype, torch.float32, torch.float32]
    for one, other, dtype in zip(got, wanted, dtypes, strict=True):
        assert one.dtype == dtype
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
@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("d", [1, 3, 24, 32, 44])
def test_widths_and_types(d, dtype):
    compare(*inputs([(5, 7), (3, 2)], d=d, dtype=dtype))


@compares
@pytest.mark.parametrize("seed", range(6))
def test_sizes(seed):
    draw = torch.Generator().manual_seed(seed)

    def number(low, high):
        return int(torch.randint(low, high + 1, (), generator=draw))

    shapes = [(number(1, 9), number(1, 9)) for _ in range(number(1, 4))]
    sizes = {"B": number(1, 3), "heads": number(1, 3), "d": number(1, 9), "Q": number(1, 40), "P": number(1, 6)}
    compare(*inputs(shapes, **sizes, seed=seed, spread=[0.5, 1.0, 3.0][seed % 3]))


@compares
def test_many_queries_on_one_cell():
    compare(*inputs([(1, 1), (1, 3)], B=1, Q=150, heads=1))


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
    value, shapes, locations, weights, gradient = inputs([(6, 6)], Q=50)
    runs = [
        (
            triton_kernel.forward(value, shapes, locations, weights),
            *triton_kernel.backward(value, shapes, locations, weights, gradient)[1:],
        )
        for _ in range(3)
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
        ({"weights": lambda t: t.half()}, "float32"),
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
@pytest.mark.parametrize("value", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize(("d", "P", "heads"), [(32, 4, 8), (44, 3, 1)])
@pytest.mark.parametrize("name", ["forward_kernel", "backward_kernel"])
def test_compiles_without_a_gpu(name, d, P, heads, value, monkeypatch, tmp_path):
    """The interpreter accepts code that the compiler refuses, and the compiler needs no GPU."""
    from triton.backends.compiler import GPUTarget

    if "constexprs" not in inspect.signature(triton.compiler.ASTSource).parameters:
        pytest.skip("this version of triton has another argument for constants")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(triton_kernel, name)
    constants = {"L": 4, "P": P, "D": d, "BLOCK": 4, "BLOCK_D": triton.next_power_of_2(d)}
    if heads == 1:
        # Triton turns arguments that are 1 into constants.
        constants["heads"] = 1
    types = dict.fromkeys(kernel.arg_names, "i32") | dict.fromkeys(constants, "constexpr")
    types |= dict.fromkeys(set(types) & {"value", "output", "grad_output"}, f"*{value}") | {"levels": "*i32"}
    float32 = {"locations", "weights", "grad_value", "grad_locations", "grad_weights"}
    types |= dict.fromkeys(set(types) & float32, "*fp32")
    source = triton.compiler.ASTSource(
        fn=kernel,
        signature={argument: types[argument] for argument in kernel.arg_names},
        constexprs={(kernel.arg_names.index(argument),): constant for argument, constant in constants.items()},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
    assert compiled.asm["cubin"]


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
