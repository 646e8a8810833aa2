"""The Triton kernels against the definition in float64.

On a machine with a GPU the comparisons run there. On all machines they also run in a separate process under
Triton's interpreter, which must be asked for before triton is imported.
"""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.torch_version import TorchVersion

from mmbeit3.ops.deform_attn import triton_kernel
from tests.ops.triton_cases import DEVICE, INTERPRETED, TOLERANCES, compare, compares, compiled_only, inputs, triton

FILES = [Path(__file__).resolve().with_name(name) for name in ("test_deform_attn_triton.py", "test_deform_attn_fused.py")]


@pytest.mark.skipif(INTERPRETED, reason="runs the interpreter")
def test_under_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", *map(str, FILES)]
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
    # Triton 3.6 allocates up to 146 registers for the same code, also without spills.
    if TorchVersion(triton.__version__) >= (3, 7):
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


@pytest.mark.skipif(not INTERPRETED, reason="about the interpreter")
def test_interpreter_takes_any_device():
    assert triton_kernel.unavailable(torch.device("cpu"), torch.float16) is None
    assert "float64" in triton_kernel.unavailable(torch.device("cpu"), torch.float64)
