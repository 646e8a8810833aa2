"""Images of a folder, found by text or by image, and the vectors by which they are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from mmengine.logging import print_log

from mmbeit3.datasets.collate import collate_samples
from mmbeit3.errors import UserError, printable
from mmbeit3.images import ImageInput, find_images, read_pixels
from mmbeit3.inference.base import TaskInferencer, check_texts
from mmbeit3.inference.drawing import draw_with_text
from mmbeit3.inference.images import is_folder, list_images, name_image
from mmbeit3.inference.index import ImageIndex, fingerprint
from mmbeit3.inference.pipeline import Query, TaskPipeline
from mmbeit3.tasks.retrieval import BEiT3Retrieval

__all__ = ["RetrievalInferencer"]

_DRAWN = 5
"""Images found that are drawn."""
_HEIGHT = 192
"""Of drawn images, in pixels."""


class RetrievalInferencer(TaskInferencer):
    """Finds images, see :class:`~mmbeit3.tasks.retrieval.BEiT3Retrieval`: first :meth:`index` them or :meth:`load` an index.

    :meth:`embed_images` and :meth:`embed_texts` give the vectors that are compared, and need no index.

    Its arguments are those of :class:`~mmbeit3.inference.TaskInferencer`.

    Attributes:
        images: the index, or None.
    """

    models = (BEiT3Retrieval,)
    images: ImageIndex | None = None

    def index(
        self,
        images: str | Path | Sequence[str | Path],
        batch_size: int = 32,
        num_workers: int = 0,
        show_progress: bool | None = None,
    ) -> list[str]:
        """Encode images to search in. Those that cannot be read are left out, and logged.

        Args:
            images: a folder, whose folders are searched, too; or paths and addresses.
            batch_size: images that go through the model at once.
            num_workers: processes that read images; 0 for this one.
            show_progress: whether to show a progress bar; default as the inferencer was made.

        Returns:
            The images that cannot be read.

        Raises:
            UserError: if there is no such folder, or no image that can be read.
        """
        paths = find_images(images) if isinstance(images, str | Path) else list_images(list(images))
        features = torch.empty(len(paths), self.model.network.arch.embed_dims)
        names: list[str] = []
        left_out: list[str] = []
        load = partial(_load_readable, self.pipeline)
        for readable, unreadable, batch in self.batches(paths, load, batch_size, show_progress, num_workers):
            left_out += unreadable
            if readable:
                found = torch.stack([sample["image_feature"] for sample in self.forward(batch)])
                features[len(names) : len(names) + len(found)] = found
                names += readable
        if left_out:
            some = ", ".join(printable(name, 4096) for name in left_out[:3]) + (", ..." if len(left_out) > 3 else "")
            print_log(f"{len(left_out)} of {len(paths)} images cannot be read and are left out: {some}", logger="current")
        if not names:
            raise UserError(f"none of {len(paths)} images can be read: give a folder, or paths, of JPEG or PNG files")
        self.images = ImageIndex(features[: len(names)], tuple(names), self.fingerprint)
        return left_out

    @overload
    def embed_images(
        self,
        images: ImageInput | Sequence[ImageInput],
        batch_size: int = ...,
        show_progress: bool | None = ...,
        return_names: Literal[False] = ...,
    ) -> np.ndarray: ...

    @overload
    def embed_images(
        self,
        images: ImageInput | Sequence[ImageInput],
        batch_size: int = ...,
        show_progress: bool | None = ...,
        *,
        return_names: Literal[True],
    ) -> tuple[np.ndarray, list[str | None]]: ...

    def embed_images(
        self,
        images: ImageInput | Sequence[ImageInput],
        batch_size: int = 32,
        show_progress: bool | None = None,
        return_names: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, list[str | None]]:
        """Encode images. The vectors are those that :meth:`index` keeps and :meth:`query` compares.

        Args:
            images: one or several, as :func:`~mmbeit3.images.read_pixels` takes them, or a folder. Images of a folder that
                cannot be read have no row: they are left out and logged.
            batch_size: images that go through the model at once.
            show_progress: whether to show a progress bar; default as the inferencer was made.
            return_names: whether to return the path of each row's image, too; None for an image without one.

        Returns:
            Unit vectors (N, C), float32, in the order of the images; with ``return_names`` these and the N names.

        Raises:
            UserError: if there are no images, or an image that is not of a folder cannot be read, or none of a folder can.
        """
        queries = [Query((image,)) for image in list_images(images)]
        found = self._embed(queries, "image_feature", batch_size, show_progress, is_folder(images))
        features = _stack(found)
        return (features, [each["name"] for each in found]) if return_names else features

    def embed_texts(self, texts: str | Sequence[str], batch_size: int = 32, show_progress: bool | None = None) -> np.ndarray:
        """Encode texts. The vectors are those that :meth:`query` compares with the images'.

        Args:
            texts: one or several.
            batch_size: texts that go through the model at once.
            show_progress: whether to show a progress bar; default as the inferencer was made.

        Returns:
            Unit vectors (N, C), float32, in the order of the texts. ``embed_images(...) @ embed_texts(...).T`` are cosines.

        Raises:
            UserError: if there are no texts, or one is empty.
        """
        queries = [Query(text=text) for text in check_texts(texts, "text")]
        return _stack(self._embed(queries, "text_feature", batch_size, show_progress))

    def _embed(
        self,
        queries: Sequence[Query],
        feature: str,
        batch_size: int,
        show_progress: bool | None,
        leave_out: bool = False,
    ) -> list[dict[str, Any]]:
        """Dicts of ``feature``, a tensor (C,), and ``name``, the image's."""

        def keep(query: Query, result: Mapping[str, Any]) -> dict[str, Any]:
            return {"feature": result[feature], "name": name_image(query.images[0]) if query.images else None}

        return self.infer(queries, keep, batch_size, show_progress=show_progress, leave_out=leave_out)["predictions"]

    def save(self, path: str | Path) -> None:
        """Write the index to a file of the safetensors format.

        Raises:
            UserError: if there is none yet, or it cannot be written.
        """
        self._need_index().save(path)

    def load(self, path: str | Path) -> None:
        """Take an index from a file that :meth:`save` wrote.

        Raises:
            UserError: if it cannot be read, or was made by other weights than this model's.
        """
        self.images = ImageIndex.load(path, self.fingerprint)

    def query(self, text: str | None = None, image: ImageInput | None = None, top_k: int = 10) -> list[dict[str, Any]]:
        """Find the images closest to a text or to an image.

        Args:
            text, image: one of them.
            top_k: how many images to find.

        Returns:
            Dicts of ``image``, its path, and ``score``, the cosine (-1 to 1), closest first.

        Raises:
            UserError: if there is no index yet, the text is empty or the image cannot be read.
            ValueError: if both or none are given.
        """
        return self(text, None if image is None else [image], top_k, show_progress=False)["predictions"][0]["matches"]

    def __call__(
        self,
        texts: str | Sequence[str] | None = None,
        images: ImageInput | Sequence[ImageInput] | None = None,
        top_k: int = 10,
        batch_size: int = 1,
        return_vis: bool = False,
        out_dir: str | Path | None = None,
        show_progress: bool | None = None,
    ) -> dict[str, Any]:
        """Find the images closest to each of several texts or images.

        Args:
            texts, images: one of them; images as :func:`~mmbeit3.images.read_pixels` takes them.
            top_k: how many images to find.
            batch_size, return_vis, out_dir, show_progress: see :meth:`~mmbeit3.inference.TaskInferencer.infer`.

        Returns:
            ``predictions``, dicts of ``text`` or ``image`` and ``matches``, see :meth:`query`; and ``visualization``.

        Raises:
            UserError: if there is no index yet, a text is empty or an image cannot be read.
            ValueError: if both or none are given.
        """
        self._need_index()
        if (texts is None) == (images is None):
            raise ValueError("retrieval wants texts or images, one of them")
        if texts is not None:
            queries = [Query(text=text) for text in check_texts(texts, "text")]
        else:
            queries = [Query((image,)) for image in list_images(images)]  # type: ignore[arg-type]
        leave_out = is_folder(images)
        return self.infer(
            queries, partial(self.postprocess, top_k=top_k), batch_size, return_vis, out_dir, show_progress, leave_out
        )

    def postprocess(self, query: Query, result: Mapping[str, Any], top_k: int = 10) -> dict[str, Any]:
        """See :meth:`__call__`."""
        index = self._need_index()
        feature = result["text_feature" if query.text is not None else "image_feature"]
        scores, rows = index.search(feature[None], top_k)
        pairs = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        asked = {"text": query.text} if query.text is not None else {"image": name_image(query.images[0])}
        return {**asked, "matches": [{"image": index.names[row], "score": score} for row, score in pairs]}

    def visualize(self, images: Sequence[np.ndarray], prediction: Mapping[str, Any]) -> np.ndarray:
        """Draw the query and the first images found; these are read from their files."""
        found = [read_pixels(match["image"]) for match in prediction["matches"][:_DRAWN]]
        return draw_with_text([*images, *found], self.lines(prediction), _HEIGHT)

    def lines(self, prediction: Mapping[str, Any]) -> list[str]:
        """The text, and names and cosines of the first images found."""
        found = [f"{match['score']:.3f} {match['image']}" for match in prediction["matches"][:_DRAWN]]
        return [prediction["text"], *found] if "text" in prediction else found

    @cached_property
    def fingerprint(self) -> str:
        """What tells this model's indices from those of others."""
        return fingerprint(self.model.network)

    def _need_index(self) -> ImageIndex:
        if self.images is None:
            raise UserError("there are no images to search in yet: call index() with a folder, or load() with a saved index")
        return self.images


def _stack(found: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Features as one array (N, C), float32."""
    return torch.stack([each["feature"] for each in found]).float().numpy()


def _load_readable(pipeline: TaskPipeline, paths: Sequence[str | Path]) -> tuple[list[str], list[str], dict[str, Any] | None]:
    """Names of images that can be read, those of the others, and a batch of the former."""
    samples: list[dict[str, Any]] = []
    readable: list[str] = []
    unreadable: list[str] = []
    for path in paths:
        try:
            pixels = read_pixels(path)
        except UserError:
            unreadable.append(str(path))
        else:
            samples.append(pipeline([pixels]))
            readable.append(str(path))
    return readable, unreadable, collate_samples(samples) if samples else None
