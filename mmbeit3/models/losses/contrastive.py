"""Contrastive loss of images and texts over the batch of all processes (symmetric InfoNCE, CLIP, arXiv 2103.00020)."""

from __future__ import annotations

import torch
from torch import Tensor, distributed
from torch.nn import functional as F

from mmbeit3.ops import wide_dtype

__all__ = ["contrastive_loss"]


def contrastive_loss(image_features: Tensor, text_features: Tensor, logit_scale: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the symmetric InfoNCE loss over the global batch, that is the batches of all processes together.

    Each process compares its images with all texts and its texts with all images. Gradients flow back to the processes that
    computed the features. Losses and gradients averaged over processes, as in DDP, equal those of one process with the global
    batch. All pairs except (i-th image, i-th text) are negatives, even a second caption of the same image.

    Args:
        image_features: unit vectors (B, C); B must be the same in every process.
        text_features: unit vectors (B, C); the i-th belongs to the i-th image.
        logit_scale: scalar factor of the cosine similarities: 1 / temperature, not its logarithm.

    Returns:
        The loss, a scalar in float32 (float64 if an argument is), and the accuracies (0 to 1) ``image_to_text`` and
        ``text_to_image`` of this process's batch.

    Raises:
        ValueError: if the features' shapes differ or are not (B, C).
    """
    if image_features.ndim != 2 or image_features.shape != text_features.shape:
        raise ValueError(
            f"contrastive loss needs as many texts as images, both (B, C), got images {tuple(image_features.shape)} and texts "
            f"{tuple(text_features.shape)}"
        )
    # Autocast would compute the similarities in half precision.
    with torch.autocast(image_features.device.type, enabled=False):
        dtype = wide_dtype(image_features, text_features, logit_scale)
        images, texts, scale = image_features.to(dtype), text_features.to(dtype), logit_scale.to(dtype)
        first, (all_images, all_texts) = _gather(images, texts)
        targets = torch.arange(first, first + len(images), device=images.device)
        by_image, by_text = scale * images @ all_texts.t(), scale * texts @ all_images.t()
        loss = (F.cross_entropy(by_image, targets) + F.cross_entropy(by_text, targets)) / 2
    return loss, {"image_to_text": _accuracy(by_image, targets), "text_to_image": _accuracy(by_text, targets)}


def _gather(*features: Tensor) -> tuple[int, list[Tensor]]:
    """Concatenate features of all processes by rank. Also return the index of this process's first row."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, list(features)
    # PyTorch builds without distributed training do not have this module.
    from torch.distributed.nn.functional import all_gather

    return distributed.get_rank() * len(features[0]), [torch.cat(all_gather(rows)) for rows in features]


def _accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits.detach().argmax(dim=1) == targets).float().mean()
