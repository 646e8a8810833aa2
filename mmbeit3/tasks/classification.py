"""Image classification with a linear head on the vision tower, like the released ImageNet models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, Mixup
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.errors import UserError
from mmbeit3.models.backbones import BEiT3Vision
from mmbeit3.ops import Linear, widened
from mmbeit3.registry import MODELS
from mmbeit3.tasks.base import TaskModel
from mmbeit3.tasks.heads import init_linears
from mmbeit3.tasks.labels import accuracy, add_predictions, read_labels

__all__ = ["BEiT3Classification", "ClassificationNetwork"]


class ClassificationNetwork(nn.Module):
    """The vision tower with a linear layer on the normalised mean of its patch features; the class token is not used.

    The network has no text weights. The official checkpoints contain them; loading reports these keys as unused.

    Args:
        arch: see :class:`~mmbeit3.models.backbones.BEiT3Vision`.
        num_classes: number of classes.
        **kwargs: further arguments of :class:`~mmbeit3.models.backbones.BEiT3Vision`, such as ``image_size``.
    """

    def __init__(self, arch: str | Mapping[str, Any], num_classes: int = 1000, **kwargs: Any) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.vision = BEiT3Vision(arch, **kwargs)
        self.fc_norm = nn.LayerNorm(self.vision.embed_dims)
        self.head = Linear(self.vision.embed_dims, num_classes)
        init_linears(self.head, scale=0.001)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes) of images (B, 3, H, W), normalised; never in half precision."""
        (patches,) = self.vision(image)
        return widened(self.head(self.fc_norm(patches.mean(dim=(2, 3)))))


@MODELS.register_module()
class BEiT3Classification(TaskModel):
    """Classifier for images. Samples have a ``gt_label`` (1,).

    The defaults are the recipe of the official code: mixup (arXiv 1710.09412) for half of the batches, CutMix
    (arXiv 1905.04899) for the other half, and label smoothing for all.

    Args:
        network: arguments of :class:`ClassificationNetwork`.
        mixup, cutmix: alpha of the beta distribution of the mixing ratio; 0 turns the method off. If both are above 0, one of
            them is chosen at random for each batch.
        label_smoothing: fraction (0 to 1) of the target that is spread over all classes.
        mean, std: mean and standard deviation of the input for values from 0 to 1; default those of ImageNet.
        init_cfg: see :class:`~mmbeit3.tasks.base.TaskModel`.
    """

    network: ClassificationNetwork

    def __init__(
        self,
        network: Mapping[str, Any],
        mixup: float = 0.8,
        cutmix: float = 1.0,
        label_smoothing: float = 0.1,
        mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
        std: Sequence[float] = IMAGENET_DEFAULT_STD,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(ClassificationNetwork(**network), mean, std, init_cfg)
        self.label_smoothing = label_smoothing
        self.mix = None
        if mixup or cutmix:
            self.mix = Mixup(mixup, cutmix, label_smoothing=label_smoothing, num_classes=self.network.num_classes)

    def outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits (B, num_classes)."""
        return self.network(self.normalize(inputs["image"]))

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return ``loss_cls``, the cross-entropy, and, without mixup and CutMix, ``accuracy`` (0 to 1).

        Raises:
            UserError: if a sample has no label or a label outside of the classes, or a batch to mix has an odd size.
        """
        image = self.normalize(inputs["image"])
        labels = read_labels(data_samples, self.network.num_classes, image.device)
        if self.mix is None:
            logits = self.network(image)
            loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
            return {"loss_cls": loss, "accuracy": accuracy(logits, labels)}
        if len(image) % 2:
            raise UserError(
                f"mixup and cutmix need an even number of images per batch, got {len(image)}: set an even batch_size and "
                "drop_last=True in train_dataloader, or mixup=0, cutmix=0 in the model"
            )
        # timm uses NumPy's global generator. Seed it from PyTorch's, whose state a resumed run restores.
        np.random.seed(int(torch.randint(2**32, ())))
        mixed, targets = self.mix(image, labels)
        return {"loss_cls": F.cross_entropy(self.network(mixed), targets)}

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add ``pred_label`` (1,) and ``pred_score`` (num_classes,), the probabilities, to the samples."""
        return add_predictions(data_samples, self.outputs(inputs).softmax(dim=-1))
