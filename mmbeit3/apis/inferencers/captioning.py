"""Sentences about images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmbeit3.apis.inferencers.base import TaskInferencer
from mmbeit3.apis.inferencers.images import is_folder, list_images, name_image
from mmbeit3.apis.inferencers.pipeline import Query
from mmbeit3.errors import UserError
from mmbeit3.images import ImageInput
from mmbeit3.tasks.base import TaskModel
from mmbeit3.tasks.captioning import BEiT3Captioning

__all__ = ["CaptionInferencer"]


class CaptionInferencer(TaskInferencer):
    """Describes images, see :class:`~mmbeit3.tasks.captioning.BEiT3Captioning`. How words are chosen is the config's to say.

    Its arguments are those of :class:`~mmbeit3.apis.inferencers.TaskInferencer`.
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
    ) -> dict[str, Any]:
        """Describe images.

        Args:
            images: one or several, or a folder; see :func:`~mmbeit3.images.read_pixels`.
            batch_size, return_vis, out_dir, show_progress: see :meth:`~mmbeit3.apis.inferencers.TaskInferencer.infer`.

        Returns:
            ``predictions``, dicts of ``image``, ``pred_caption`` and ``pred_tokens``, its ids; and ``visualization``.

        Raises:
            UserError: if an image cannot be read.
        """
        queries = [Query((image,)) for image in list_images(images)]
        leave_out = is_folder(images)
        return self.infer(queries, self.postprocess, batch_size, return_vis, out_dir, show_progress, leave_out)

    def postprocess(self, query: Query, result: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`__call__`."""
        return {
            "image": name_image(query.images[0]),
            "pred_caption": result["pred_caption"],
            "pred_tokens": list(result["pred_tokens"]),
        }

    def lines(self, prediction: Mapping[str, Any]) -> list[str]:
        """The caption."""
        return [prediction["pred_caption"]]

    def _init_model(self, cfg: Config, weights: str, device: str = "cpu") -> TaskModel:
        model = super()._init_model(cfg, weights, device)
        if model.tokenizer is None:
            raise UserError("the config's model has no tokenizer to make words of ids: set model.tokenizer")
        return model
