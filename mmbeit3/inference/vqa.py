"""Answers to questions about images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmbeit3.errors import UserError
from mmbeit3.images import ImageInput
from mmbeit3.inference.base import TaskInferencer, align, check_texts, top_labels
from mmbeit3.inference.images import is_folder, list_images, name_image
from mmbeit3.inference.pipeline import Query
from mmbeit3.tasks.base import TaskModel
from mmbeit3.tasks.vqa import BEiT3VQA

__all__ = ["VQAInferencer"]


class VQAInferencer(TaskInferencer):
    """Answers questions, see :class:`~mmbeit3.tasks.vqa.BEiT3VQA`. The config must name the answers.

    Its arguments are those of :class:`~mmbeit3.inference.TaskInferencer`.
    """

    models = (BEiT3VQA,)

    def __call__(
        self,
        images: ImageInput | Sequence[ImageInput],
        questions: str | Sequence[str],
        batch_size: int = 1,
        return_vis: bool = False,
        out_dir: str | Path | None = None,
        show_progress: bool | None = None,
        top_k: int = 5,
    ) -> dict[str, Any]:
        """Answer questions.

        Args:
            images: one or several, or a folder; see :func:`~mmbeit3.images.read_pixels`.
            questions: as many, or one of either that goes with all of the other.
            batch_size, return_vis, out_dir, show_progress: see :meth:`~mmbeit3.inference.TaskInferencer.infer`.
            top_k: how many answers to list.

        Returns:
            ``predictions``, dicts of ``image``, ``question``, ``pred_answer``, ``pred_label``, ``pred_score`` (0 to 1) and
            ``top``, the ``top_k`` likeliest answers; and ``visualization``.

        Raises:
            UserError: if an image cannot be read or a question is empty, or their numbers don't fit.
        """
        rows = align(images=list_images(images), questions=check_texts(questions, "question"))
        queries = [Query((image,), question) for image, question in rows]
        leave_out = is_folder(images)
        return self.infer(
            queries, partial(self.postprocess, top_k=top_k), batch_size, return_vis, out_dir, show_progress, leave_out
        )

    def postprocess(self, query: Query, result: Mapping[str, Any], top_k: int = 5) -> dict[str, Any]:
        """See :meth:`__call__`."""
        top = top_labels(result["pred_score"], self.model.answers, top_k)
        return {
            "image": name_image(query.images[0]),
            "question": query.text,
            "pred_answer": top[0]["name"],
            "pred_label": top[0]["label"],
            "pred_score": top[0]["score"],
            "top": top,
        }

    def lines(self, prediction: Mapping[str, Any]) -> list[str]:
        """The question, and the answer with its score."""
        return [prediction["question"], f"{prediction['pred_answer']} ({prediction['pred_score']:.2f})"]

    def _init_model(self, cfg: Config, weights: str, device: str = "cpu") -> TaskModel:
        model = super()._init_model(cfg, weights, device)
        if model.answers is None:
            raise UserError("the config's model has no answers by name: set model.answers to the list it was trained with")
        return model
