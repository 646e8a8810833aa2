"""Compare attention over sequences with masked attention, on CPUs with a stand-in for the GPU's kernel."""

from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from mmbeit3.ops import varlen
from mmbeit3.ops.varlen import Sequences, attend_sequences, supports_varlen


class Counter(TorchDispatchMode):
    """Count the operators that launch kernels: all except views and allocations."""

    active = None

    def __init__(self):
        super().__init__()
        self.names = []
        self.paused = False

    def __enter__(self):
        Counter.active = self
        return super().__enter__()

    def __exit__(self, *args):
        Counter.active = None
        return super().__exit__(*args)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if not (self.paused or func.is_view or name in ("empty", "empty_like", "empty_strided", "new_empty")):
            self.names.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def counted_as(name):
    """Count everything inside as one operator."""
    counter = Counter.active
    if counter is None:
        yield
        return
    counter.names.append(name)
    counter.paused = True
    try:
        yield
    finally:
        counter.paused = False


class BruteForce(torch.autograd.Function):
    """``varlen_attn`` as its documentation describes it: one attention per sequence."""

    @staticmethod
    def run(q, k, v, query_starts, key_starts):
        outputs = []
        for (a, b), (c, d) in zip(query_starts.unfold(0, 2, 1).tolist(), key_starts.unfold(0, 2, 1).tolist(), strict=True):
            parts = q[a:b], k[c:d], v[c:d]
            outputs.append(F.scaled_dot_product_attention(*(t.transpose(0, 1) for t in parts)).transpose(0, 1))
        return torch.cat(outputs)

    @staticmethod
    def forward(ctx, q, k, v, *starts):
        ctx.save_for_backward(q, k, v, *starts)
        with counted_as("attention"):
            return BruteForce.run(q, k, v, *starts)

    @staticmethod
    def backward(ctx, gradient):
        *qkv, query_starts, key_starts = ctx.saved_tensors
        with counted_as("attention backward"), torch.enable_grad():
            qkv = [t.detach().requires_grad_() for t in qkv]
            return *torch.autograd.grad(BruteForce.run(*qkv, query_starts, key_starts), qkv, gradient), None, None


def brute_force(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k):
    """Stand in for ``varlen_attn``, and check what the kernel relies on."""
    for t, starts, longest in ((query, cu_seq_q, max_q), (key, cu_seq_k, max_k), (value, cu_seq_k, max_k)):
        assert t.dim() == 3
        assert t.stride(-1) == 1
        assert starts.dtype == torch.int32
        lengths = [b - a for a, b in pairwise(starts.tolist())]
        assert min(lengths) > 0
        assert (max(lengths), sum(lengths)) == (longest, len(t))
    return BruteForce.apply(query, key, value, cu_seq_q, cu_seq_k)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(varlen, "varlen_attn", brute_force)


@pytest.mark.parametrize("layout", ["joint", "separate"])
@pytest.mark.parametrize("batch", [1, 3])
def test_sequences_equal_masked_attention(stand_in, layout, batch):
    """Sequence 0: rows 0 to 2 attend to all five rows, the last first; sequence 1: rows 3 and 4 attend to rows 4 and 0."""
    torch.manual_seed(0)
    key_rows = torch.tensor([4, 0, 1, 2, 3, 4, 0], dtype=torch.int32)
    sequences = Sequences.build([(1, 3, 5), (1, 2, 2)], key_rows, batch, 5, torch.device("cpu"))
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[:3], mask[3:, [0, 4]] = True, True
    qkv = torch.randn(batch, 5, 3, 2, 8, dtype=torch.float64, requires_grad=True)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()
    assert varlen._joint_rows(k, v) is not None
    if layout == "separate":
        q, k, v = q.clone(), k.clone(), v.clone()
        assert varlen._joint_rows(k, v) is None
    found = attend_sequences(q, k, v, sequences)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert found.transpose(1, 2).is_contiguous()
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    torch.testing.assert_close(*(torch.autograd.grad((t * weights).sum(), qkv, retain_graph=True) for t in (found, expected)))


def test_gradients_are_summed_in_float32():
    """A row with 3000 keys: in bfloat16, a running sum of ones would stop at 256."""
    sequences = Sequences.build([(3000, 1, 1)], torch.zeros(3000, dtype=torch.int32), 1, 3000, torch.device("cpu"))
    k, v = torch.zeros(2, 1, 1, 3000, 8, dtype=torch.bfloat16).requires_grad_().unbind()
    keys, values = varlen._GatherKeysValues.apply(k, v, sequences)
    for gathered, source, value in ((keys, k, 1.0), (values, v, 2.0)):
        (gradient,) = torch.autograd.grad((gathered * value).sum(), source, retain_graph=True)
        expected = torch.zeros(3000)
        expected[0] = torch.tensor(3000 * value).bfloat16()
        assert torch.equal(gradient[0, 0].float(), expected[:, None].expand(-1, 8))


def test_not_used_on_cpus():
    assert not supports_varlen(torch.zeros(1, 2, 3, 8, dtype=torch.bfloat16))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_supported_on_this_gpu():
    q = torch.zeros(1, 2, 3, 64, device="cuda", dtype=torch.bfloat16)
    newest = varlen.varlen_attn is not None and torch.cuda.get_device_capability() >= (8, 0)
    assert supports_varlen(q) == newest
    assert not supports_varlen(q.float())
    assert not supports_varlen(q[..., :44])
