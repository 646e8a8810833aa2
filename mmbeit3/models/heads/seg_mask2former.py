"""Mask2Former's head for mmseg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads import Mask2FormerHead as MMSegMask2FormerHead
from torch import Tensor

from mmbeit3.models.heads.mask2former import BatchedMask2FormerHead
from mmbeit3.models.heads.objects import PresentClasses

__all__ = ["SegMask2FormerHead"]


class SegMask2FormerHead(BatchedMask2FormerHead, MMSegMask2FormerHead):
    """mmseg's ``Mask2FormerHead`` for semantic segmentation, with the same arguments, parameters and results.

    See :class:`~mmbeit3.models.heads.mask2former.Mask2FormerHead`. The host waits twice: for the classes of the images and for
    the matching costs.

    Raises:
        ValueError: if a loss or a matching cost is not one of Mask2Former's.
    """

    def loss(self, x: Sequence[Tensor], batch_data_samples: Sequence[Any], train_cfg: Any) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            x: (B, C, h, w) feature maps, high resolution first.
            batch_data_samples: with ``gt_sem_seg``.
            train_cfg: not used.

        Returns:
            ``loss_cls``, ``loss_mask`` and ``loss_dice`` of the last layer, and ``d0.loss_cls`` and so on of the others.

        Raises:
            ValueError: if a pixel has a class that the head does not have.
        """
        maps = torch.cat([sample.gt_sem_seg.data for sample in batch_data_samples])
        classes = PresentClasses(maps, 0, self.num_classes, self.ignore_index)
        return self._losses(x, batch_data_samples, classes.objects)
