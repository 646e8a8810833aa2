"""Compare the two ways to compute window attention: one call for all windows, and one call per group of windows."""

import pytest
import torch

from mmbeit3.models.beit3 import WindowOrder, windows
from mmbeit3.ops import varlen
from mmbeit3.ops.varlen import supports_varlen
from tests.ops.test_varlen import Counter, brute_force

CASES = [
    ((8, 8), 1, 1),  # equal windows
    ((8, 8), 0, 2),
    ((9, 7), 1, 3),  # four groups
    ((9, 7), 0, 1),
    ((9, 8), 5, 2),  # two groups
    ((3, 2), 1, 2),  # a window larger than the grid
    ((3, 9), 5, 3),
]


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(varlen, "varlen_attn", brute_force)
    monkeypatch.setattr(windows, "supports_varlen", lambda q: True)


def joint(grid, num_prefix, batch, **options):
    return torch.randn(batch, num_prefix + grid[0] * grid[1], 3, 2, 8, **options).requires_grad_()


def views(qkv):
    return qkv.permute(2, 0, 3, 1, 4).unbind()


@pytest.mark.parametrize(("grid", "num_prefix", "batch"), CASES)
def test_one_call_equals_groups(stand_in, grid, num_prefix, batch):
    order = WindowOrder(grid, 4, num_prefix)
    qkv = joint(grid, num_prefix, batch, dtype=torch.float64)
    found, expected = order.attend(*views(qkv)), order._attend_groups(*views(qkv))
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    torch.testing.assert_close(*(torch.autograd.grad((t * weights).sum(), qkv) for t in (found, expected)))


def kernels(grid, num_prefix):
    """Names of the operators of a forward and of a backward pass whose indices are cached."""
    order = WindowOrder(grid, 4, num_prefix)
    # Gradients end at the three views, so that the split of the joint projection is not counted.
    q, k, v = (t.detach().requires_grad_() for t in views(joint(grid, num_prefix, 2)))
    ones = torch.ones_like(order.attend(q, k, v))
    with Counter() as counter:
        out = order.attend(q, k, v)
        forward = len(counter.names)
        torch.autograd.grad(out, (q, k, v), ones)
    return counter.names[:forward], counter.names[forward:]


@pytest.mark.parametrize("grid", [(8, 8), (9, 7)])
def test_number_of_kernels(stand_in, grid):
    """Windows of one or of several sizes cost one copy and one attention, and one sum each for the gradients of k and v."""
    assert kernels(grid, 1) == (["index_select", "attention"], ["attention backward", *["_embedding_bag_forward_only"] * 2])


def test_windows_alone_need_no_copy(stand_in):
    assert kernels((9, 7), 0) == (["attention"], ["attention backward"])


def test_indices_are_cached():
    sizes, device = ((4, 16),), torch.device("cpu")
    with torch.inference_mode():
        first = windows.window_sequences(sizes, 1, 2, device)
    assert windows.window_sequences(sizes, 1, 2, device) is first
    assert windows.window_sequences(sizes, 1, 3, device) is not first


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("grid", "num_prefix", "batch"), [*CASES, ((33, 30), 1, 2)])
def test_kernel_on_gpu(grid, num_prefix, batch, dtype):
    """Values and gradients are as close to float32's as those of the groups are."""
    if not supports_varlen(torch.zeros(1, 1, 1, 64, device="cuda", dtype=dtype)):
        pytest.skip("this GPU or PyTorch has no varlen_attn")
    torch.manual_seed(0)
    order = WindowOrder(grid, 4 if grid[0] < 30 else 14, num_prefix)
    exact = torch.randn(batch, num_prefix + grid[0] * grid[1], 3, 12, 64, device="cuda").to(dtype).float().requires_grad_()
    half = exact.detach().to(dtype).requires_grad_()
    weights = torch.randn(batch, 12, exact.shape[1], 64, device="cuda")
    results = []
    for qkv, attend in ((exact, order._attend_groups), (half, order.attend), (half, order._attend_groups)):
        out = attend(*views(qkv))
        results.append((out, *torch.autograd.grad((out.float() * weights).sum(), qkv)))
    for reference, found, groups in zip(*results, strict=True):
        error, expected = ((t.float() - reference).norm() / reference.norm() for t in (found, groups))
        assert error < max(1.5 * expected, 1e-3), (error, expected)
