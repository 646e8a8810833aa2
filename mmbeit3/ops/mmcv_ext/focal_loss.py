"""Focal losses (arXiv 1708.02002), element-wise, as mmcv's autograd functions call them.

Half precision is computed in float32, float64 in float64. Losses and derivatives are finite for all finite logits and every
gamma from 0: no formula has a negative power, or subtracts a probability from one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.ops.precision import widened

__all__ = [
    "sigmoid_focal_loss_backward",
    "sigmoid_focal_loss_forward",
    "softmax_focal_loss_backward",
    "softmax_focal_loss_forward",
]


def _signed(input: Tensor, target: Tensor, weight: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Prepare the binary losses of logits ``input`` (N, C).

    Returns:
        ``z = signs * logits``, whose sigmoid is the probability of the right answer; ``signs``, 1 for the target's class, else
        -1; ``scales``, the factor of each loss. All (N, C), float32 or float64.
    """
    logits = widened(input)
    positive = target.unsqueeze(1) == torch.arange(logits.shape[1], device=logits.device)  # (N, C)
    signs = positive.to(logits.dtype) * 2 - 1
    scales = torch.where(positive, alpha, 1 - alpha).to(logits.dtype)
    if weight.numel():
        scales = scales * weight[target].unsqueeze(1)
    return logits * signs, signs, scales


def sigmoid_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``output`` (N, C) with the loss of logits ``input`` (N, C) and classes ``target`` (N,); C is background."""
    z, _, scales = _signed(input, target, weight, alpha)
    output.copy_(-scales * (-z).sigmoid() ** gamma * F.logsigmoid(z))


def sigmoid_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``grad_input`` (N, C) with the derivative of each loss by its logit."""
    z, signs, scales = _signed(input, target, weight, alpha)
    # With p = sigmoid(z) the loss is -(1 - p)^gamma log p, and the derivative of p is p (1 - p).
    p, rest = z.sigmoid(), (-z).sigmoid()
    # Clamped, since minus infinity times p = 0 is NaN.
    log_p = F.logsigmoid(z).clamp(min=torch.finfo(z.dtype).min)
    grad_input.copy_(signs * scales * rest**gamma * (gamma * p * log_p - rest))


def _of_target(probabilities: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gather the probabilities of each sample's target class.

    Returns:
        The class (N, 1), its probability, the other classes' probability, and the sample's weight, all (N,). The weight is zero
        for negative targets, which are ignored.
    """
    index = target.clamp(min=0)
    scale = (target >= 0).to(probabilities.dtype)
    if weight.numel():
        scale = scale * weight[index]
    index = index.unsqueeze(1)
    # A probability of 1 - 1e-9 rounds to 1 in float32; the sum of the others keeps the difference.
    rest = probabilities.scatter(1, index, 0).sum(1)
    return index, probabilities.gather(1, index).squeeze(1), rest, scale


def _log(p: Tensor, rest: Tensor) -> Tensor:
    """Compute the logarithm of probabilities ``p``, accurate also near one, with ``rest = 1 - p``.

    ``p`` is clamped to the smallest normal number, as in mmcv.
    """
    smallest = torch.finfo(p.dtype).tiny
    return torch.where(rest < 0.5, torch.log1p(-rest.clamp(max=0.5)), p.clamp(min=smallest).log())


def softmax_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``output`` (N,) with the loss of softmax probabilities ``input`` (N, C) and classes ``target`` (N,)."""
    _, p, rest, scale = _of_target(widened(input), target, weight)
    output.copy_(-alpha * rest**gamma * _log(p, rest) * scale)


def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``grad_input`` (N, C) with the derivative of each loss by the logits behind the probabilities ``input``."""
    probabilities = widened(input)
    index, p, rest, scale = _of_target(probabilities, target, weight)
    # The derivative by p, times p. As p approaches 1, log(p) / (1 - p) approaches -1, and no power is negative.
    smallest = torch.finfo(p.dtype).tiny
    slope = torch.where(rest < smallest, -1, _log(p, rest) / rest.clamp(min=smallest))
    by_logit = alpha * rest**gamma * (gamma * p * slope - 1) * scale
    buff.copy_(by_logit)
    # The derivative of p by its own logit is p (1 - p), by another's -p times that one's probability.
    grad_input.copy_(by_logit.unsqueeze(1) * (-probabilities).scatter(1, index, rest.unsqueeze(1)))
