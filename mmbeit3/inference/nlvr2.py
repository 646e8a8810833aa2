"""Whether sentences are true of pairs of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmbeit3.images import ImageInput
from mmbeit3.inference.base import TaskInferencer, align, check_texts
from mmbeit3.inference.images import is_folder, list_images, name_image
from mmbeit3.inference.pipeline import Query
from mmbeit3.tasks.nlvr2 import BEiT3NLVR2

__all__ = ["NLVR2Inferencer"]


class NLVR2Inferencer(TaskInferencer):
    """Judges sentences, see :class:`~mmbeit3.tasks.nlvr2.BEiT3NLVR2`.

    Its arguments are those of :class:`~mmbeit3.inference.TaskInferencer`.
    """

    models = (BEiT3NLVR2,)

    def __call__(
        self,
        left: ImageInput | Sequence[ImageInput],
        right: ImageInput | Sequence[ImageInput],
        sentences: str | Sequence[str],
        batch_size: int = 1,
        return_vis: bool = False,
        out_dir: str | Path | None = None,
        show_progress: bool | None = None,
    ) -> dict[str, Any]:
        """Judge sentences.

        Args:
            left, right: images of the pairs, one or several each; see
                :func:`~mmbeit3.images.read_pixels`.
            sentences: as many, or one of anything that goes with all.
            batch_size, return_vis, out_dir, show_progress: see :meth:`~mmbeit3.inference.TaskInferencer.infer`.

        Returns:
            ``predictions``, dicts of ``left``, ``right``, ``sentence``, ``pred_label`` (0 or 1), ``pred_class`` (``'false'``
            or ``'true'``) and ``pred_score``, its probability; and ``visualization``.

        Raises:
            UserError: if an image cannot be read or a sentence is empty, or their numbers don't fit.
        """
        texts = check_texts(sentences, "sentence")
        rows = align(left=list_images(left), right=list_images(right), sentences=texts)
        queries = [Query((first, second), sentence) for first, second, sentence in rows]
        leave_out = is_folder(left) or is_folder(right)
        return self.infer(queries, self.postprocess, batch_size, return_vis, out_dir, show_progress, leave_out)

    def postprocess(self, query: Query, result: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`__call__`."""
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
        """The sentence, and the judgement with its probability."""
        return [prediction["sentence"], f"{prediction['pred_class']} ({prediction['pred_score']:.2f})"]
