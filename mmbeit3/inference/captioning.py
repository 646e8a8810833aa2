"""Sentences about images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmbeit3.errors import UserError
from mmbeit3.images import ImageInput
from mmbeit3.inference.base import TaskInferencer
from mmbeit3.inference.images import is_folder, list_images, name_image
from mmbeit3.inference.pipeline import Query
from mmbeit3.tasks.base import TaskModel
from mmbeit3.tasks.captioning import BEiT3Captioning

__all__ = ["CaptionInferencer"]


class CaptionInferencer(TaskInferencer):
    """Describes images, see :class:`~mmbeit3.tasks.captioning.BEiT3Captioning`.

    How words are chosen is the config's to say; a call may say how many words and how many captions there are.

    Its arguments are those of :class:`~mmbeit3.inference.TaskInferencer`.
    """

    models = (BEiT3Captioning,)
    reads_text = False

    def __call__(
        self,
        images: ImageInput | Sequence[ImageInput],
        batch_size: int = 1,
        return_vis: bool = False,
        out_dir: str | Path | None = None,
        show_progress: bool | None = None,
        min_length: int | None = None,
        num_captions: int | None = None,
    ) -> dict[str, Any]:
        """Describe images.

        Args:
            images: one or several, or a folder; see :func:`~mmbeit3.images.read_pixels`.
            batch_size, return_vis, out_dir, show_progress: see :meth:`~mmbeit3.inference.TaskInferencer.infer`.
            min_length: fewest tokens of a caption; default the config's, which is 0 if it has none.
            num_captions: captions of each image, at most the config's ``num_beams``; default the config's, or 1.

        Returns:
            ``predictions``, dicts of ``image``, ``pred_caption`` and ``pred_tokens``, its ids, and with more captions than one
            ``pred_captions``, dicts of ``caption``, ``tokens`` and ``score`` (see
            :func:`~mmbeit3.tasks.decoding.best_texts`), best first; and ``visualization``.

        Raises:
            UserError: if an image cannot be read, or a number is out of range.
        """
        queries = [Query((image,)) for image in list_images(images)]
        leave_out = is_folder(images)
        return self.infer(
            queries,
            self.postprocess,
            batch_size,
            return_vis,
            out_dir,
            show_progress,
            leave_out,
            min_length=min_length,
            num_captions=num_captions,
        )

    @torch.no_grad()
    def forward(self, inputs: Mapping[str, Any], **wanted: Any) -> list[dict[str, Any]]:
        """The samples of a batch with captions, see :meth:`~mmbeit3.tasks.captioning.BEiT3Captioning.predict`."""
        batch = self.model.data_preprocessor(inputs, False)
        return self.model.predict(batch["inputs"], batch["data_samples"], **wanted)

    def postprocess(self, query: Query, result: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`__call__`."""
        found = {name: result[name] for name in ("pred_caption", "pred_tokens", "pred_captions") if name in result}
        return {"image": name_image(query.images[0]), **found}

    def lines(self, prediction: Mapping[str, Any]) -> list[str]:
        """The captions."""
        return [each["caption"] for each in prediction.get("pred_captions", [])] or [prediction["pred_caption"]]

    def _init_model(self, cfg: Config, weights: str, device: str = "cpu") -> TaskModel:
        model = super()._init_model(cfg, weights, device)
        if model.tokenizer is None:
            raise UserError("the config's model has no tokenizer to make words of ids: set model.tokenizer")
        return model
