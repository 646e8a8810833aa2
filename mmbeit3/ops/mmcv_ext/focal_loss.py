"""Focal losses (arXiv 1708.02002), element-wise, as mmcv's autograd functions call them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "sigmoid_focal_loss_backward",
    "sigmoid_focal_loss_forward",
    "softmax_focal_loss_backward",
    "softmax_focal_loss_forward",
]


def _sigmoid_focal_loss(logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float) -> Tensor:
    classes = torch.arange(logits.shape[1], device=logits.device)
    positive = target.unsqueeze(1) == classes
    p = logits.sigmoid()
    of_positive = -alpha * (1 - p) ** gamma * F.logsigmoid(logits)
    of_negative = -(1 - alpha) * p**gamma * F.logsigmoid(-logits)
    loss = torch.where(positive, of_positive, of_negative)
    return loss * weight[target].unsqueeze(1) if weight.numel() else loss


def sigmoid_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``output`` (N, C) with the loss of logits ``input`` (N, C) and classes ``target`` (N,); C is background."""
    output.copy_(_sigmoid_focal_loss(input.float(), target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``grad_input`` (N, C) with the derivative of each loss by its logit."""
    with torch.enable_grad():
        logits = input.detach().float().requires_grad_()
        loss = _sigmoid_focal_loss(logits, target, weight, gamma, alpha).sum()
        (gradient,) = torch.autograd.grad(loss, logits)
    grad_input.copy_(gradient)


def _of_target(probabilities: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Probability of each sample's class, and its weight: zero where the target is negative, which means ignored."""
    valid = target >= 0
    index = target.clamp(min=0)
    scale = valid.to(probabilities.dtype)
    if weight.numel():
        scale = scale * weight[index]
    smallest = torch.finfo(torch.float32).tiny
    return probabilities.gather(1, index.unsqueeze(1)).squeeze(1).clamp(min=smallest), scale


def softmax_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``output`` (N,) with the loss of softmax probabilities ``input`` (N, C) and classes ``target`` (N,)."""
    p, scale = _of_target(input.float(), target, weight)
    output.copy_(-alpha * (1 - p) ** gamma * p.log() * scale)


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
    probabilities = input.float()
    p, scale = _of_target(probabilities, target, weight)
    by_logit = alpha * (gamma * (1 - p) ** (gamma - 1) * p * p.log() - (1 - p) ** gamma) * scale
    buff.copy_(by_logit)
    one_hot = F.one_hot(target.clamp(min=0), input.shape[1])
    grad_input.copy_(by_logit.unsqueeze(1) * (one_hot - probabilities))
