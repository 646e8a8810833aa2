"""NLVR2, visual reasoning: decide if a sentence is true of two images (arXiv 1811.00491; model: arXiv 2208.10442)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.models.beit3 import Arch, BEiT3
from mmbeit3.ops import Linear, widened
from mmbeit3.registry import MODELS
from mmbeit3.tasks.base import TaskModel
from mmbeit3.tasks.heads import freeze_unused, init_linears
from mmbeit3.tasks.labels import accuracy, add_predictions, read_labels

__all__ = ["BEiT3NLVR2", "NLVR2Network"]

_CLASSES = 2


class NLVR2Network(BEiT3):
    """BEiT-3 with a head on two image-text pairs: each image is encoded together with the sentence.

    The head reads the first image token and the first text token of both pairs, concatenated to (B, 4 C). The state dict keys
    are those of the official checkpoints.

    Args:
        arch: see :class:`~mmbeit3.models.beit3.BEiT3`.
        **kwargs: further arguments of :class:`~mmbeit3.models.beit3.BEiT3`.
    """

    def __init__(self, arch: str | Mapping[str, Any] | Arch, **kwargs: Any) -> None:
        super().__init__(arch, **kwargs)
        C = self.arch.embed_dims
        self.head = nn.Sequential(
            OrderedDict(
                norm1=nn.LayerNorm(4 * C),
                dense1=Linear(4 * C, 2 * C),
                norm2=nn.LayerNorm(2 * C),
                activation=nn.GELU(),
                dense2=Linear(2 * C, _CLASSES),
            )
        )
        init_linears(self.head, scale=0.001, init=self.arch.init)
        freeze_unused(self)

    def logits(self, image: Tensor, image2: Tensor, tokens: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Return the logits (B, 2) of false (0) and true (1), never in half precision. Both pairs run in one batch of 2 B.

        Args:
            image, image2: the left and right images, (B, 3, H, W) each, normalised.
            tokens: ids of the sentences (B, T).
            padding_mask: boolean (B, T), True = pad.
        """
        twice = None if padding_mask is None else padding_mask.repeat(2, 1)
        output = self(torch.cat([image, image2]), tokens.repeat(2, 1), twice)
        # The first tokens of image and text (2 B, 2 C); then left and right pair side by side (B, 4 C).
        first = torch.cat([cast(Tensor, states)[:, 0] for states in output], dim=1)
        return widened(self.head(torch.cat(first.unflatten(0, (2, -1)).unbind(), dim=1)))


@MODELS.register_module()
class BEiT3NLVR2(TaskModel):
    """Classifier of sentences as true or false of ``image`` and ``image2``. Samples have a ``gt_label`` (1,): 0 false, 1 true.

    Args:
        network: arguments of :class:`NLVR2Network`.
        **kwargs: further arguments of :class:`~mmbeit3.tasks.base.TaskModel`.
    """

    network: NLVR2Network

    def __init__(self, network: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(NLVR2Network(**network), **kwargs)

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits (B, 2)."""
        left, right = self.normalize(inputs["image"]), self.normalize(inputs["image2"])
        return self.network.logits(left, right, inputs["tokens"], inputs["padding_mask"])

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return ``loss_nlvr2``, the cross-entropy, and ``accuracy`` (0 to 1).

        Raises:
            UserError: if a sample has no label, or a label that is not 0 or 1.
        """
        logits = self.outputs(inputs)
        labels = read_labels(data_samples, _CLASSES, logits.device)
        return {"loss_nlvr2": F.cross_entropy(logits, labels), "accuracy": accuracy(logits, labels)}

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add ``pred_label`` (1,) and ``pred_score`` (2,), the probabilities, to the samples."""
        return add_predictions(data_samples, self.outputs(inputs).softmax(dim=-1))
