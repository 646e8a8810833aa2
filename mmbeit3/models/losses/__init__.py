"""Losses in plain PyTorch. Imports nothing of OpenMMLab."""

from mmbeit3.models.losses.contrastive import contrastive_loss

__all__ = ["contrastive_loss"]
