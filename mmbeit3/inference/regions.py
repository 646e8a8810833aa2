"""Predictions of mmseg's models as logits at the resolution of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.models.segmentors import EncoderDecoder
from torch import nn

from mmbeit3.errors import UserError
from mmbeit3.inference.logits import ClassLogits

__all__ = ["predict_logits"]


def predict_logits(model: nn.Module, batch: Mapping[str, Sequence[Any]]) -> list[ClassLogits]:
    """Run a segmentor of mmseg on a batch of images of one size.

    Args:
        model: an ``EncoderDecoder``.
        batch: ``inputs`` and ``data_samples``, as its dataset gives them.

    Returns:
        The logits of each image, without padding.

    Raises:
        UserError: if the model is another kind of segmentor.
    """
    if not isinstance(model, EncoderDecoder):
        raise UserError(f"{type(model).__name__} is not an EncoderDecoder of mmseg: predict with mmseg's own inference_model")
    data = model.data_preprocessor(batch, False)
    metas = [sample.metainfo for sample in data["data_samples"]]
    logits = model.inference(data["inputs"], metas)
    height, width = logits.shape[2:]
    results = []
    for values, sample in zip(logits, data["data_samples"], strict=True):
        meta = sample.metainfo
        left, right, top, bottom = meta.get("img_padding_size") or meta.get("padding_size") or (0, 0, 0, 0)
        inside = values[:, top : height - bottom, left : width - right]
        threshold = getattr(model.decode_head, "threshold", None)
        results.append(ClassLogits(inside.float(), model.align_corners, 0.5 if threshold is None else threshold))
    return results
