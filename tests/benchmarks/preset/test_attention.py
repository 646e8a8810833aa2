"""Attention's deviation from float32: the formulas, the problems, and the figures of the part."""

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend

from benchmarks.cases import deviation
from benchmarks.preset import attention
from benchmarks.preset.attention import KINDS, attend_and_differentiate, exact_attention, problem
from benchmarks.preset.context import Context
from benchmarks.settings import Settings

SHAPE = (2, 33, 3, 2, 16)


@pytest.mark.parametrize("kind", KINDS)
def test_formulas_agree_with_autograd_in_float64(kind):
    joint, gradient = problem(SHAPE, kind, "cpu")
    leaf = joint.double().requires_grad_()
    q, k, v = leaf.permute(2, 0, 3, 1, 4).unbind()
    output = F.softmax(q @ k.transpose(-2, -1) / 4, dim=-1) @ v
    (expected,) = torch.autograd.grad(output, leaf, gradient.double())
    found = exact_attention(joint, gradient)
    assert deviation([output, *expected.permute(2, 0, 3, 1, 4).unbind()], found) < 1e-4
    assert found.output.dtype == torch.float32


@pytest.mark.parametrize("backend", [None, SDPBackend.MATH, SDPBackend.FLASH_ATTENTION])
def test_backends_round_to_bfloat16(backend):
    joint, gradient = problem(SHAPE, KINDS[0], "cpu")
    found = attend_and_differentiate(joint, gradient, backend)
    assert found.dq.dtype == torch.bfloat16
    assert 1e-4 < deviation(exact_attention(joint, gradient), found) < 0.01


def test_problems_are_what_their_names_tell():
    joint, gradient = problem(SHAPE, KINDS[1], "cpu")
    assert joint.shape == SHAPE
    assert gradient.shape == (2, 2, 33, 16)
    assert (gradient == gradient[:, :, :1]).all()
    assert gradient.transpose(1, 2).is_contiguous()
    q, k, _ = problem(SHAPE, KINDS[2], "cpu")[0].float().permute(2, 0, 3, 1, 4).unbind()
    scores = q @ k.transpose(-2, -1) / 4
    assert scores.mean().item() == pytest.approx(-100, abs=3)
    # ln of the largest float32: below this, exp(-logsumexp) overflows.
    assert (scores.logsumexp(-1) < -88.8).float().mean() > 0.3


def test_a_backend_that_is_missing_is_noted():
    joint, gradient = problem(SHAPE, KINDS[0], "cpu")

    def check():
        return attention._bare(joint, gradient, SDPBackend.CUDNN_ATTENTION, exact_attention(joint, gradient))

    figure = attention._figure("attention", "cuDNN", check)
    assert figure.value is None
    assert figure.note.startswith("No viable backend")


def test_a_wrong_backend_is_seen(monkeypatch):
    def wrong(joint, gradient, backend):
        found = attend_and_differentiate(joint, gradient, None)
        return found._replace(dq=found.dq * 0.01) if backend == SDPBackend.MATH else found

    monkeypatch.setattr(attention, "attend_and_differentiate", wrong)
    monkeypatch.setattr(attention, "_towers", lambda context: iter(()))
    figures = list(attention.attention_check(Context(Settings().for_check())))
    missed = [figure for figure in figures if figure.reached is False]
    assert [figure.name for figure in missed] == ["math"] * len(KINDS)
    assert all("dq 0.99" in figure.note and "dv 0.00" in figure.note for figure in missed)
    assert {figure.reached for figure in figures if figure.name == "flash"} == {True}


@pytest.mark.slow
def test_towers_of_both_agree_with_float32():
    figures = list(attention._towers(Context(Settings(threads=1).for_check())))
    found = {figure.work.rpartition(", ")[2]: figure for figure in figures if figure.name == "PyTorch's choice"}
    assert set(found) == {"mmbeit3", "timm"}
    assert all(figure.reached and "gradient 0.0" in figure.note for figure in found.values())
