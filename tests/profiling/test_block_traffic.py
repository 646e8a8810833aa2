"""Kernels and bytes of one block in training, counted without a GPU.

Fake tensors have shapes but no data, so a block of the large model at 896 pixels takes no time. They are CPU tensors, to which
:class:`_CudaAutocast` applies the one rule of CUDA's autocast that matters here: layer norms are computed in float32.
"""

from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mmbeit3.models.beit3 import Segment, Tower, get_arch, joint_attention, run_layer
from mmbeit3.ops import Residual
from mmbeit3.ops.layer_norm import function
from mmbeit3.profiling.launches import count_launches

pytest.importorskip("triton")

BATCH, TOKENS = 2, 1 + 56 * 56


class _CudaAutocast(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.layer_norm:
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))


def plain_block(expert, x):
    """The block as plain PyTorch writes it, which mmbeit3 did, too, before its norms were fused."""
    attn, ffn = expert.attn, expert.ffn
    heads = attn.num_heads
    qkv = attn.qkv(attn.norm(x)).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(*qkv.unbind()).transpose(1, 2).flatten(2)
    x = x + attn.out(attn.inner_norm(attended))
    return x + ffn.fc2(ffn.inner_norm(F.gelu(ffn.fc1(ffn.norm(x)))))


def count(arch, block):
    with torch.device("meta"):
        tower = Tower(arch, nn.Identity(), final_norm=False)
    tower.drop_paths.train(False)
    with FakeTensorMode(), _CudaAutocast():
        for module in tower.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    module._parameters[name] = nn.Parameter(torch.empty(parameter.shape))
        x = torch.empty(BATCH, TOKENS, arch.embed_dims, requires_grad=True)
        return count_launches(lambda: block(tower, x))[1]


def plain_step(tower, x):
    with torch.autocast("cpu", torch.bfloat16):
        out = plain_block(tower.experts[0], x)
    out.backward(torch.empty_like(out))


def fused_step(tower, x):
    """One of several blocks: it gets a branch that is still to be added, and leaves one."""
    branch = torch.empty(x.shape, dtype=torch.bfloat16, requires_grad=True)
    before = Residual(x, branch, None, nn.Parameter(torch.empty(x.shape[-1:])))
    with torch.autocast("cpu", torch.bfloat16):
        (after,) = run_layer([Segment(tower)], [before], 0, joint_attention)
    torch.autograd.backward([after.tokens, after.branch], [torch.empty_like(after.tokens), torch.empty_like(after.branch)])


def test_a_block_moves_half_the_bytes():
    arch = get_arch("large", num_layers=1)
    with patch.object(function, "_usable", lambda kind: False):
        plain = count(arch, plain_step)
    with patch.object(function, "_usable", lambda kind: True):
        fused = count(arch, fused_step)
    assert fused.operators["mmbeit3.layer_norm"] == fused.operators["mmbeit3.layer_norm_backward"] == 4
    # Copies of weights and of their gradients remain: four matrices and the bias of q, k, v.
    assert fused.operators["aten._to_copy"] == 10
    assert fused.bytes <= 0.5 * plain.bytes
    assert fused.launches <= 0.6 * plain.launches
