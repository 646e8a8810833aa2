"""Inferencer for image captioning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config

from mmbeit3.errors import UserError
from mmbeit3.inference.base import InferOptions, TaskInferencer
from mmbeit3.inference.images import ImagesInput, is_folder, list_images, name_image
from mmbeit3.inference.pipeline import Query
from mmbeit3.tasks.base import TaskModel
from mmbeit3.tasks.captioning import BEiT3Captioning

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["CaptionInferencer"]


class CaptionInferencer(TaskInferencer):
    """Captions for images, see :class:`~mmbeit3.tasks.captioning.BEiT3Captioning`.

    The config sets the decoding method. A call may override the minimal length and the number of captions.

    The arguments are those of :class:`~mmbeit3.inference.TaskInferencer`.
    """

    models = (BEiT3Captioning,)
    reads_text = False

    def __call__(
        self,
        images: ImagesInput,
        *,
        min_length: int | None = None,
        num_captions: int | None = None,
        **options: Unpack[InferOptions],
    ) -> dict[str, Any]:
        """Caption images.

        Args:
            images: one or several images, or a folder; see :func:`~mmbeit3.images.read_pixels`.
            min_length: smallest number of tokens of a caption; default that of the config, or 0.
            num_captions: captions per image, at most the config's ``num_beams``; default that of the config, or 1.
            **options: see :class:`~mmbeit3.inference.base.InferOptions`.

        Returns:
            The dict of :meth:`~mmbeit3.inference.TaskInferencer.infer`. Each of ``predictions`` has ``image``,
            ``pred_caption`` and its ids ``pred_tokens``. With more than one caption it also has ``pred_captions``, dicts of
            ``caption``, ``tokens`` and ``score`` (see :func:`~mmbeit3.tasks.decoding.best_texts`), best first.

        Raises:
            UserError: if an image cannot be read, or ``min_length`` or ``num_captions`` is out of range.
        """
        queries = [Query((image,)) for image in list_images(images)]
        lengths = {"min_length": min_length, "num_captions": num_captions}
        return self.infer(queries, self.postprocess, skip_unreadable=is_folder(images), forward_options=lengths, **options)

    @torch.no_grad()
    def forward(self, inputs: Mapping[str, Any], **lengths: Any) -> list[dict[str, Any]]:
        """Return the samples of a batch with captions, see :meth:`~mmbeit3.tasks.captioning.BEiT3Captioning.predict`."""
        batch = self.model.data_preprocessor(inputs, False)
        return self.model.predict(batch["inputs"], batch["data_samples"], **lengths)

    def postprocess(self, query: Query, result: Mapping[str, Any]) -> dict[str, Any]:
        """Convert a query and its result to a prediction, see :meth:`__call__`."""
        found = {name: result[name] for name in ("pred_caption", "pred_tokens", "pred_captions") if name in result}
        return {"image": name_image(query.images[0]), **found}

    def lines(self, prediction: Mapping[str, Any]) -> list[str]:
        """Return the captions."""
        return [each["caption"] for each in prediction.get("pred_captions", [])] or [prediction["pred_caption"]]

    def _init_model(self, cfg: Config, weights: str, device: str = "cpu") -> TaskModel:
        model = super()._init_model(cfg, weights, device)
        if model.tokenizer is None:
            raise UserError("the model of the config has no tokenizer to decode captions: set model.tokenizer")
        return model
