"""Deviation of attention from float32 by each backend of PyTorch: alone, and in the training step of a tower.

On an H100 with torch 2.11, mmbeit3's and timm's large towers once differed in a training step on two images of 896 pixels. This
part shows which of the two is wrong, with which backend, and from which layer on.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks import networks, peers
from benchmarks.cases import Deviations, compare, deviation
from benchmarks.networks import Network
from benchmarks.preset.context import Context, Output
from benchmarks.preset.figures import Figure

__all__ = [
    "ATTENTION_GOALS",
    "BACKENDS",
    "Attended",
    "attend_and_differentiate",
    "attention_check",
    "exact_attention",
    "problem",
]

_TOLERANCE = 0.05
ATTENTION_GOALS = [Figure("attention and tower in bfloat16", "deviation from float32", None, "", "≤", _TOLERANCE)]

BACKENDS: dict[str, SDPBackend | None] = {
    "PyTorch's choice": None,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
"""Names to backends of ``scaled_dot_product_attention``; None leaves the choice to PyTorch."""

KINDS = ("random gradient", "equal gradient of all tokens", "scores near -100")
"""Problems: the loss of the training-step benchmark gives all tokens the same gradient; with low scores, cuDNN 9 returned wrong
gradients where the length is not a multiple of its tiles (pytorch/pytorch issue 196678)."""


class Attended(NamedTuple):
    """Output of attention and its gradients, each (B, heads, N, d)."""

    output: Tensor
    dq: Tensor
    dk: Tensor
    dv: Tensor


def attention_check(context: Context) -> Iterator[Output]:
    """Compare attention alone, then the tower of mmbeit3 and of timm, with float32."""
    quick, device = context.settings.quick, context.settings.device
    shape = (2, 65, 3, 2, 16) if quick else (2, 3137, 3, 16, 64)
    for kind in KINDS:
        joint, gradient = problem(shape, kind, device)
        expected = exact_attention(joint, gradient)
        for name, backend in BACKENDS.items():
            work = f"attention of {shape[1]} tokens, {kind}"
            yield _figure(work, name, partial(_bare, joint, gradient, backend, expected))
        del joint, gradient, expected
    yield from _towers(context)


def problem(shape: Sequence[int], kind: str, device: str) -> tuple[Tensor, Tensor]:
    """Return q, k and v in bfloat16 in one tensor (B, N, 3, heads, d), and the gradient of the output (B, heads, N, d).

    Args:
        shape: shape of the joint tensor.
        kind: one of :data:`KINDS`.
        device: device of the tensors.
    """
    B, N, _, heads, d = shape
    generator = torch.Generator().manual_seed(0)
    joint = torch.randn(tuple(shape), generator=generator)
    gradient = torch.randn(B, heads, 1 if kind == KINDS[1] else N, d, generator=generator).expand(B, heads, N, d)
    if kind == KINDS[2]:
        # A constant c in all channels of q and -c in those of k adds -c² sqrt(d) to every score.
        shift = (100 / d**0.5) ** 0.5
        joint[:, :, 0] += shift
        joint[:, :, 1] -= shift
    # In a network, the output's gradient has the layout (B, N, heads, d).
    gradient = gradient.transpose(1, 2).contiguous().transpose(1, 2)
    return joint.to(device, torch.bfloat16), gradient.to(device, torch.bfloat16)


def exact_attention(joint: Tensor, gradient: Tensor) -> Attended:
    """Compute attention and its gradients by their formulas in float32; arguments as in :func:`problem`."""
    q, k, v = joint.float().permute(2, 0, 3, 1, 4).unbind()
    gradient = gradient.float()
    scale = q.shape[-1] ** -0.5
    results = []
    # One image at a time, because the scores of all need much memory.
    for one_q, one_k, one_v, grad in zip(q, k, v, gradient, strict=True):
        weights = (one_q @ one_k.transpose(-2, -1) * scale).softmax(-1)
        grad_weights = grad @ one_v.transpose(-2, -1)
        grad_scores = weights * (grad_weights - (grad_weights * weights).sum(-1, keepdim=True)) * scale
        transposed = weights.transpose(-2, -1)
        results.append((weights @ one_v, grad_scores @ one_k, grad_scores.transpose(-2, -1) @ one_q, transposed @ grad))
    return Attended(*(torch.stack(parts) for parts in zip(*results, strict=True)))


def attend_and_differentiate(joint: Tensor, gradient: Tensor, backend: SDPBackend | None) -> Attended:
    """Compute attention and its gradients by a backend, with q, k and v as views of the joint tensor, as in the networks."""
    joint = joint.detach().requires_grad_()
    q, k, v = joint.permute(2, 0, 3, 1, 4).unbind()
    with _choose(backend):
        output = F.scaled_dot_product_attention(q, k, v)
    (joint_gradient,) = torch.autograd.grad(output, joint, gradient)
    return Attended(output.detach(), *joint_gradient.permute(2, 0, 3, 1, 4).unbind())


def _bare(joint: Tensor, gradient: Tensor, backend: SDPBackend | None, expected: Attended) -> tuple[float, str]:
    first, again = (attend_and_differentiate(joint, gradient, backend) for _ in range(2))
    apart = {name: deviation([theirs], [ours]) for name, theirs, ours in zip(Attended._fields, expected, first, strict=True)}
    note = ", ".join(f"{name} {value:.2g}" for name, value in apart.items())
    return max(apart.values()), f"{note}; a second call differs by {deviation(first, again):.2g}"


def _towers(context: Context) -> Iterator[Output]:
    settings = context.sized(arch="large", sides=(896,), batch=2)
    arch, side, device = settings.sizes, settings.sides[0], settings.device
    inputs = {"image": networks.make_image(side, device, settings.batch)}
    reference = networks.tower(arch, side, device=device)
    weights = reference.module.state_dict()
    expected = networks.train_step(reference, inputs, settings, "float32")()
    in_float32 = _qkv_gradients(reference)
    first_results: dict[str, Sequence[Tensor]] = {}

    def deviate(name: str, network: Network, backend: SDPBackend | None) -> tuple[float, str]:
        with _choose(backend):
            result = networks.train_step(network, inputs, settings, "bfloat16")()
        found = compare(expected, result)
        apart = [deviation([theirs], [ours]) for theirs, ours in zip(in_float32, _qkv_gradients(network), strict=True)]
        wrong = [index for index, value in enumerate(apart) if not value <= _TOLERANCE]
        layers = f"qkv gradients deviate by {max(apart):.2g} at most"
        if wrong:
            layers += f", first in the backward pass in layer {max(wrong)} of {len(apart)}"
        if name in first_results and backend is None:
            layers += f"; differs from the first call by {deviation(first_results[name], result):.2g}"
        first_results.setdefault(name, result)
        return _largest(found), f"features {found.outputs:.2g}, gradient {found.gradients or 0:.2g}; {layers}"

    def timm() -> Network:
        with torch.device(device):
            return peers.timm_tower(arch, side, weights)

    contenders: dict[str, Callable[[], Network]] = {
        "mmbeit3": lambda: reference,
        "timm": timm,
    }
    work = f"tower {settings.arch} {side}², batch {settings.batch}"
    for name, build in contenders.items():
        network = build()
        for label, backend in [*BACKENDS.items(), ("PyTorch's choice, again", None)]:
            yield _figure(f"{work}, {name}", label, partial(deviate, name, network, backend))


def _figure(work: str, name: str, check: Callable[[], tuple[float, str]]) -> Figure:
    """Return the figure of one check; a backend that cannot compute it is noted."""
    try:
        value, note = check()
    except RuntimeError as error:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return Figure(work, name, None, "", "≤", _TOLERANCE, (str(error).strip().splitlines() or ["failed"])[0])
    return Figure(work, name, value, "", "≤", _TOLERANCE, note)


def _choose(backend: SDPBackend | None) -> AbstractContextManager[None]:
    return nullcontext() if backend is None else sdpa_kernel(backend)


def _largest(found: Deviations) -> float:
    return max(value for value in found if value is not None)


def _qkv_gradients(network: Network) -> list[Tensor]:
    """Return the gradients of the layers' fused projections, first layer first."""
    gradients = [p.grad for name, p in network.module.named_parameters() if name.endswith("attn.qkv.weight")]
    return [gradient.clone() for gradient in gradients if gradient is not None]
