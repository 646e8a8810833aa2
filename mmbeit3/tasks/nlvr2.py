"""Visual reasoning: is a sentence true of two images (NLVR2, arXiv 1811.00491; arXiv 2208.10442)."""

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
from mmbeit3.tasks.heads import freeze_unreached, init_linears
from mmbeit3.tasks.labels import accuracy, add_predictions, read_labels

__all__ = ["BEiT3NLVR2", "NLVR2Network"]

_CLASSES = 2


class NLVR2Network(BEiT3):
    """Each image with the sentence through joint attention; both pairs' first tokens, of image and text, are judged together.

    Names are those of the official files.

    Args:
        arch: see :class:`~mmbeit3.models.beit3.BEiT3`.
        **kwargs: those of :class:`~mmbeit3.models.beit3.BEiT3`.
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
        freeze_unreached(self)

    def logits(self, image: Tensor, image2: Tensor, tokens: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Score false (0) and true (1): (B, 2), never in half precision. Both pairs go through the network in one batch of 2B.

        Args:
            image, image2: (B, 3, H, W), normalised, left and right.
            tokens: ids of the sentences (B, T).
            padding_mask: boolean (B, T), True = pad.
        """
        twice = None if padding_mask is None else padding_mask.repeat(2, 1)
        output = self(torch.cat([image, image2]), tokens.repeat(2, 1), twice)
        first = torch.cat([cast(Tensor, states)[:, 0] for states in output], dim=1)
        return widened(self.head(torch.cat(first.unflatten(0, (2, -1)).unbind(), dim=1)))


@MODELS.register_module()
class BEiT3NLVR2(TaskModel):
    """Tells whether a sentence is true of ``image`` and ``image2``. Samples have a ``gt_label`` (1,): 0 false, 1 true.

    Args:
        network: arguments of :class:`NLVR2Network`.
        **kwargs: those of :class:`~mmbeit3.tasks.base.TaskModel`.
    """

    network: NLVR2Network

    def __init__(self, network: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(NLVR2Network(**network), **kwargs)

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits (B, 2)."""
        left, right = self.normalize(inputs["image"]), self.normalize(inputs["image2"])
        return self.network.logits(left, right, inputs["tokens"], inputs["padding_mask"])

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """``loss_nlvr2``, cross-entropy, and ``accuracy`` (0 to 1).

        Raises:
            UserError: if samples have no label, or another than 0 and 1.
        """
        logits = self.outputs(inputs)
        labels = read_labels(data_samples, _CLASSES, logits.device)
        return {"loss_nlvr2": F.cross_entropy(logits, labels), "accuracy": accuracy(logits, labels)}

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add ``pred_label`` (1,) and ``pred_score`` (2,), probabilities."""
        return add_predictions(data_samples, self.outputs(inputs).softmax(dim=-1))
