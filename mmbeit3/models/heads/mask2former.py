"""Mask2Former's head for mmdet, and what it shares with the one for mmseg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import Mask2FormerHead as MMDetMask2FormerHead
from torch import Tensor
from torch.nn import functional as F

from mmbeit3.models.heads.attention import share_masks
from mmbeit3.models.heads.objects import PresentClasses, instance_objects
from mmbeit3.models.heads.positions import sine_positions
from mmbeit3.models.heads.set_losses import SetLosses

__all__ = ["BatchedMask2FormerHead", "Mask2FormerHead"]


class BatchedMask2FormerHead(MMDetMask2FormerHead):
    """The decoder and the losses that mmdet's and mmseg's heads share. It has no ``loss``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        share_masks(self.transformer_decoder)
        self.set_losses = SetLosses(self) if self.train_cfg else None

    def forward(self, x: Sequence[Tensor], batch_data_samples: Any) -> tuple[list[Tensor], list[Tensor]]:
        """Predict classes and masks of all decoder layers.

        Args:
            x: (B, C, h, w) feature maps, high resolution first.
            batch_data_samples: not used.

        Returns:
            Logits of the classes, (B, Q, classes + 1), and of the masks, (B, Q, h, w), each before the first layer and after
            each layer.
        """
        features, maps = self.pixel_decoder(x)
        levels = self.num_transformer_feat_level
        shapes = [(level.shape[2], level.shape[3]) for level in maps[:levels]]
        memories, positions = [], []
        for index, shape in enumerate(shapes):
            tokens = self.decoder_input_projs[index](maps[index]).flatten(2).transpose(1, 2)
            memories.append(tokens + self.level_embed.weight[index])
            positions.append(sine_positions(self.decoder_positional_encoding, shape, features.device))
        batch = len(features)
        queries = self.query_feat.weight.expand(batch, -1, -1)
        query_positions = self.query_embed.weight.expand(batch, -1, -1)
        all_scores, all_masks = [], []
        for index in range(self.num_transformer_decoder_layers + 1):
            scores, masks, blocked = self._forward_head(queries, features, shapes[index % levels])
            all_scores.append(scores)
            all_masks.append(masks)
            if index == self.num_transformer_decoder_layers:
                break
            level = index % levels
            queries = self.transformer_decoder.layers[index](
                query=queries,
                key=memories[level],
                value=memories[level],
                query_pos=query_positions,
                key_pos=positions[level],
                cross_attn_mask=blocked,
                query_key_padding_mask=None,
                key_padding_mask=None,
            )
        return all_scores, all_masks

    def _forward_head(
        self, decoder_out: Tensor, mask_feature: Tensor, attn_mask_target_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict classes and masks, and where the next layer's queries must not look.

        Args:
            decoder_out: (B, Q, C) queries.
            mask_feature: (B, C, h, w).
            attn_mask_target_size: size of the next layer's map.

        Returns:
            Logits of the classes (B, Q, classes + 1) and of the masks (B, Q, h, w), and a mask (B, Q, keys) for
            :class:`~mmbeit3.models.heads.attention.SharedMaskAttention`: True where a query's own mask is background, all False
            for a query whose mask is empty.
        """
        normed = self.transformer_decoder.post_norm(decoder_out)
        masks = torch.einsum("bqc,bchw->bqhw", self.mask_embed(normed), mask_feature)
        with torch.no_grad():
            small = F.interpolate(masks, attn_mask_target_size, mode="bilinear", align_corners=False)
            background = small.flatten(2).sigmoid() < 0.5
            blocked = background & ~background.all(dim=2, keepdim=True)
        return self.cls_embed(normed), masks, blocked

    def _losses(self, x: Sequence[Tensor], samples: Any, objects: Any) -> dict[str, Tensor]:
        """Compute the losses. ``objects`` is called after the predictions, when the host has launched most of the work."""
        scores, masks = self(x, samples)
        if self.set_losses is None:
            raise ValueError("the head was built without train_cfg: it cannot compute losses")
        return self.set_losses(scores, masks, objects())


class Mask2FormerHead(BatchedMask2FormerHead):
    """mmdet's ``Mask2FormerHead`` for instance and panoptic segmentation, with the same arguments, parameters and results.

    It computes the losses of all decoder layers and images together, with one copy of the matching costs to the host, see
    :class:`~mmbeit3.models.heads.set_losses.SetLosses`.

    Raises:
        ValueError: if a loss or a matching cost is not one of Mask2Former's.
    """

    def loss(self, x: Sequence[Tensor], batch_data_samples: Sequence[Any]) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            x: (B, C, h, w) feature maps, high resolution first.
            batch_data_samples: with ``gt_instances``, and for panoptic segmentation ``gt_sem_seg``.

        Returns:
            ``loss_cls``, ``loss_mask`` and ``loss_dice`` of the last layer, and ``d0.loss_cls`` and so on of the others.
        """
        instances = [sample.gt_instances for sample in batch_data_samples]
        stuff = None
        if all("gt_sem_seg" in sample for sample in batch_data_samples):
            maps = torch.cat([sample.gt_sem_seg.sem_seg for sample in batch_data_samples])
            stuff = PresentClasses(maps, self.num_things_classes, self.num_classes)
        return self._losses(x, batch_data_samples, lambda: instance_objects(instances, stuff))
