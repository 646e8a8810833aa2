"""Image-text retrieval with a dual encoder, which encodes images and texts separately (arXiv 2208.10442)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmbeit3.models.beit3 import DualEncoder
from mmbeit3.models.losses import contrastive_loss
from mmbeit3.registry import MODELS
from mmbeit3.tasks.base import TaskModel

__all__ = ["BEiT3Retrieval"]


@MODELS.register_module()
class BEiT3Retrieval(TaskModel):
    """Dual encoder of images and texts: unit vectors whose cosine similarity is high for matching pairs.

    A training batch holds image-text pairs. The contrastive loss is computed over the pairs of all processes. Another
    text of the same image in the batch counts as a negative, as in the official code.

    Args:
        network: arguments of :class:`~mmbeit3.models.beit3.DualEncoder`.
        **kwargs: further arguments of :class:`~mmbeit3.tasks.base.TaskModel`.
    """

    network: DualEncoder

    def __init__(self, network: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(DualEncoder(**network), **kwargs)

    def outputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the unit vectors ``image_feature`` (B, C) and ``text_feature`` (B', C) of the images and texts in the batch.

        Raises:
            ValueError: if the batch has neither images nor texts.
        """
        if "image" in inputs and "tokens" in inputs:
            image = self.normalize(inputs["image"])
            images, texts = self.network.features(image, inputs["tokens"], inputs["padding_mask"])
            return {"image_feature": images, "text_feature": texts}
        if "image" in inputs:
            return {"image_feature": self.network.encode_image(self.normalize(inputs["image"]))}
        if "tokens" in inputs:
            return {"text_feature": self.network.encode_text(inputs["tokens"], inputs["padding_mask"])}
        raise ValueError(f"retrieval needs 'image', 'tokens' or both, got {', '.join(inputs) or 'nothing'}")

    def losses(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Return ``loss_itc``, ``image_to_text.accuracy`` and ``text_to_image.accuracy`` (0 to 1), and ``temperature``.

        Raises:
            ValueError: if the batch does not have both images and texts.
        """
        features = self.outputs(inputs)
        if len(features) != 2:
            raise ValueError(f"retrieval is trained on image-text pairs, got only {', '.join(features)}")
        scale = self.network.logit_scale.exp()
        loss, accuracies = contrastive_loss(features["image_feature"], features["text_feature"], scale)
        logged = {f"{name}.accuracy": value for name, value in accuracies.items()}
        return {"loss_itc": loss, **logged, "temperature": 1 / scale.detach()}

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor], data_samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add ``image_feature`` (C,) to samples with an image and ``text_feature`` (C,) to those with a text, on the CPU.

        The metric compares the features over the whole split. A batch may hold pairs, images only, texts only, or a mix of
        images and texts. In a mix the samples with a ``text_id`` are the texts, all others the images.

        Raises:
            ValueError: if the number of image or text features of a mixed batch does not match its samples.
        """
        predicted = [dict(sample) for sample in data_samples]
        for name, features in self.outputs(inputs).items():
            owners = predicted
            if len(features) != len(predicted):
                owners = [sample for sample in predicted if ("text_id" in sample) == (name == "text_feature")]
            if len(features) != len(owners):
                raise ValueError(
                    f"{len(features)} rows of {name} for {len(owners)} of {len(predicted)} samples: give texts a text_id, and "
                    "images none"
                )
            for sample, feature in zip(owners, features.cpu(), strict=True):
                sample[name] = feature
        return predicted
