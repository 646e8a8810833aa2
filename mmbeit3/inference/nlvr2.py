"""Inferencer for NLVR2: decide if a sentence is true of a pair of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmbeit3.inference.base import InferOptions, TaskInferencer, broadcast, check_texts
from mmbeit3.inference.images import ImagesInput, is_folder, list_images, name_image
from mmbeit3.inference.pipeline import Query
from mmbeit3.tasks.nlvr2 import BEiT3NLVR2

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["NLVR2Inferencer"]


class NLVR2Inferencer(TaskInferencer):
    """True or false for sentences about pairs of images, see :class:`~mmbeit3.tasks.nlvr2.BEiT3NLVR2`.

    The arguments are those of :class:`~mmbeit3.inference.TaskInferencer`.
    """

    models = (BEiT3NLVR2,)

    def __call__(
        self,
        left: ImagesInput,
        right: ImagesInput,
        sentences: str | Sequence[str],
        **options: Unpack[InferOptions],
    ) -> dict[str, Any]:
        """Decide if sentences are true.

        Args:
            left, right: the images of the pairs, one or several each; see :func:`~mmbeit3.images.read_pixels`.
            sentences: one sentence per pair. A single image or sentence is used for all pairs.
            **options: see :class:`~mmbeit3.inference.base.InferOptions`.

        Returns:
            The dict of :meth:`~mmbeit3.inference.TaskInferencer.infer`. Each of ``predictions`` has ``left``, ``right``,
            ``sentence``, ``pred_label`` (0 or 1), ``pred_class`` (``'false'`` or ``'true'``) and its probability
            ``pred_score``.

        Raises:
            UserError: if an image cannot be read, a sentence is empty, or the numbers of images and sentences differ.
        """
        texts = check_texts(sentences, "sentence")
        rows = broadcast(left=list_images(left), right=list_images(right), sentences=texts)
        queries = [Query((first, second), sentence) for first, second, sentence in rows]
        return self.infer(queries, self.postprocess, skip_unreadable=is_folder(left) or is_folder(right), **options)

    def postprocess(self, query: Query, result: Mapping[str, Any]) -> dict[str, Any]:
        """Convert a query and its result to a prediction, see :meth:`__call__`."""
        label = int(result["pred_label"])
        return {
            "left": name_image(query.images[0]),
            "right": name_image(query.images[1]),
            "sentence": query.text,
            "pred_label": label,
            "pred_class": ("false", "true")[label],
            "pred_score": float(result["pred_score"][label]),
        }

    def lines(self, prediction: Mapping[str, Any]) -> list[str]:
        """Return the sentence, and ``true`` or ``false`` with its probability."""
        return [prediction["sentence"], f"{prediction['pred_class']} ({prediction['pred_score']:.2f})"]
