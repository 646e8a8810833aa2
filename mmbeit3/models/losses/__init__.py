"""Losses in plain PyTorch. Does not import OpenMMLab."""

from mmbeit3.models.losses.contrastive import contrastive_loss

__all__ = ["contrastive_loss"]
