"""The model that MMEngine trains by vector-quantised knowledge distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mmbeit3.pretrain.image_tokenizers import HEAD_DIMS, VQKD, build_vqkd, copy_vit
from mmbeit3.pretrain.teacher import TimmTeacher
from mmbeit3.registry import MODELS

__all__ = ["VQKDTrainer"]


@MODELS.register_module()
class VQKDTrainer(BaseModel):
    """An image tokenizer and its frozen teacher.

    The checkpoints contain only the tokenizer, for :func:`~mmbeit3.pretrain.image_tokenizers.load_vqkd` or ``tokenizer=
    dict(checkpoint=...)`` of :class:`~mmbeit3.pretrain.pretrainer.BEiT3Pretrainer`.

    Args:
        tokenizer: arguments of :class:`~mmbeit3.pretrain.image_tokenizers.VQKD`, or ``dict(preset='base')`` for the released
            sizes, optionally with ``decoder_depth``. Heads are 64 wide by default. A checkpoint does not contain the number of
            heads: if it is not the default, give it again when you load the file. ``teacher_dims`` comes from the teacher.
        teacher: arguments of :class:`~mmbeit3.pretrain.teacher.TimmTeacher`; ``grid`` comes from the tokenizer.
        encoder_from_teacher: True to start the encoder from the teacher's first blocks, see
            :func:`~mmbeit3.pretrain.image_tokenizers.copy_vit`, and the projection to the codes from the principal components
            of the first batch, and to train neither. The codes are then clusters of the teacher's features, which takes few
            images. Only the codebook and the decoder are trained. The encoder needs the teacher's width, heads and patch size,
            and may have fewer blocks.

    Raises:
        UserError: if the teacher cannot be built, or the encoder cannot start from it.
        ValueError: if the tokenizer's sizes do not fit each other.
    """

    tokenizer: VQKD

    def __init__(self, tokenizer: Mapping[str, Any], teacher: Mapping[str, Any], encoder_from_teacher: bool = False) -> None:
        super().__init__()
        sizes = dict(tokenizer)
        if "preset" not in sizes:
            sizes.setdefault("heads", max(sizes["dims"] // HEAD_DIMS, 1))
        # The tokenizer needs the teacher's width, and the teacher needs the tokenizer's grid: a tokenizer without weights gives
        # it.
        with torch.device("meta"):
            grid = build_vqkd(sizes, teacher_dims=None).grid
        self.teacher = TimmTeacher(**teacher, grid=grid)
        self.tokenizer = build_vqkd(sizes, teacher_dims=self.teacher.dims)
        if encoder_from_teacher:
            copy_vit(self.tokenizer.encoder, self.teacher.net, self.teacher.mean, self.teacher.std)
            self.tokenizer.encoder.requires_grad_(False)
            self.tokenizer.encode_task_layer.requires_grad_(False)
        self.encoder_from_teacher = encoder_from_teacher

    def forward(self, inputs: Mapping[str, Mapping[str, Tensor]], data_samples: Any = None, mode: str = "loss") -> Any:
        """Compute losses of a step. In training mode this also updates the codebook.

        Args:
            inputs: a single stream of images by its name, with ``image`` (B, 3, S, S), uint8 RGB, S the tokenizer's image size.
            data_samples: not used.
            mode: ``'loss'``.

        Returns:
            The losses of :class:`~mmbeit3.pretrain.image_tokenizers.VQKD`, and for this rank's images: ``codes_used``, the
            fraction of the codebook that occurs, from 0 to 1, and ``perplexity``, the exponential of the codes' entropy, which
            is the number of codes that would give this entropy if all were equally frequent.

        Raises:
            ValueError: if ``mode`` has another value, there are several streams, or images have another size.
        """
        if mode != "loss":
            raise ValueError(f"VQKDTrainer has no mode {mode!r}: it is for training only; use load_vqkd for its checkpoints")
        if len(inputs) != 1:
            raise ValueError(f"VQKDTrainer takes one stream of images, got {', '.join(inputs) or 'none'}")
        (stream,) = inputs.values()
        pixels = stream["image"].float() / 255
        if self.encoder_from_teacher and self.training:
            self.tokenizer.start_codes(pixels)
        losses, codes = self.tokenizer.distill(pixels, self.teacher(pixels))
        frequencies = torch.bincount(codes.flatten(), minlength=self.tokenizer.num_codes) / codes.numel()
        used = (frequencies > 0).float().mean()
        return {**losses, "codes_used": used, "perplexity": torch.special.entr(frequencies).sum().exp()}
