"""Inferencer for visual question answering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from mmbeit3.errors import UserError
from mmbeit3.inference.base import InferOptions, TaskInferencer, broadcast, check_texts, top_labels
from mmbeit3.inference.images import ImagesInput, is_folder, list_images, name_image
from mmbeit3.inference.pipeline import Query
from mmbeit3.tasks.base import TaskModel
from mmbeit3.tasks.vqa import BEiT3VQA

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["VQAInferencer"]


class VQAInferencer(TaskInferencer):
    """Answers to questions about images, see :class:`~mmbeit3.tasks.vqa.BEiT3VQA`. The config must contain the answers.

    The arguments are those of :class:`~mmbeit3.inference.TaskInferencer`.
    """

    models = (BEiT3VQA,)

    def __call__(
        self,
        images: ImagesInput,
        questions: str | Sequence[str],
        *,
        top_k: int = 5,
        **options: Unpack[InferOptions],
    ) -> dict[str, Any]:
        """Answer questions.

        Args:
            images: one or several images, or a folder; see :func:`~mmbeit3.images.read_pixels`.
            questions: one question per image. A single question is asked about all images, and all questions about a single
                image.
            top_k: number of answers to list.
            **options: see :class:`~mmbeit3.inference.base.InferOptions`.

        Returns:
            The dict of :meth:`~mmbeit3.inference.TaskInferencer.infer`. Each of ``predictions`` has ``image``, ``question``,
            ``pred_answer``, ``pred_label``, ``pred_score`` (0 to 1) and ``top``, the ``top_k`` most likely answers.

        Raises:
            UserError: if an image cannot be read, a question is empty, or the numbers of images and questions differ.
        """
        rows = broadcast(images=list_images(images), questions=check_texts(questions, "question"))
        queries = [Query((image,), question) for image, question in rows]
        postprocess = partial(self.postprocess, top_k=top_k)
        return self.infer(queries, postprocess, skip_unreadable=is_folder(images), **options)

    def postprocess(self, query: Query, result: Mapping[str, Any], top_k: int = 5) -> dict[str, Any]:
        """Convert a query and its result to a prediction, see :meth:`__call__`."""
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
        """Return the question, and the answer with its score."""
        return [prediction["question"], f"{prediction['pred_answer']} ({prediction['pred_score']:.2f})"]

    def _init_model(self, cfg: Config, weights: str, device: str = "cpu") -> TaskModel:
        model = super()._init_model(cfg, weights, device)
        if model.answers is None:
            raise UserError("the model of the config has no list of answers: set model.answers to the list it was trained with")
        return model
