"""Inferencer for retrieval: search images by text or by image, and compute the feature vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from mmengine.logging import print_log

from mmbeit3.datasets.collate import collate_samples
from mmbeit3.errors import UserError, printable
from mmbeit3.images import ImageInput, find_images, read_pixels
from mmbeit3.inference.base import InferOptions, TaskInferencer, check_texts
from mmbeit3.inference.drawing import draw_with_text
from mmbeit3.inference.images import ImagesInput, is_folder, list_images, name_image
from mmbeit3.inference.index import ImageIndex, fingerprint
from mmbeit3.inference.pipeline import Query, TaskPipeline
from mmbeit3.tasks.retrieval import BEiT3Retrieval

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["RetrievalInferencer"]

_DRAWN = 5
"""Number of matches to draw."""
_HEIGHT = 192
"""Height of drawn images in pixels."""


class RetrievalInferencer(TaskInferencer):
    """Search in images, see :class:`~mmbeit3.tasks.retrieval.BEiT3Retrieval`.

    First :meth:`index` the images or :meth:`load` an index, then :meth:`query`. :meth:`embed_images` and :meth:`embed_texts`
    return the feature vectors themselves and need no index.

    The arguments are those of :class:`~mmbeit3.inference.TaskInferencer`.

    Attributes:
        images: the index; None before :meth:`index` and :meth:`load`.
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
        """Encode the images to search in. Images that cannot be read are skipped and logged.

        Args:
            images: a folder, searched recursively; or paths and URLs.
            batch_size: number of images per forward pass.
            num_workers: number of processes that read images; 0 reads in this process.
            show_progress: True for a progress bar; default the setting of the inferencer.

        Returns:
            The images that cannot be read.

        Raises:
            UserError: if the folder does not exist, or no image can be read.
        """
        paths = find_images(images) if isinstance(images, str | Path) else list_images(list(images))
        features = torch.empty(len(paths), self.model.network.arch.embed_dims)
        names: list[str] = []
        skipped: list[str] = []
        load = partial(_load_readable, self.pipeline)
        for readable, unreadable, batch in self.batches(paths, load, batch_size, show_progress, num_workers):
            skipped += unreadable
            if readable:
                found = torch.stack([sample["image_feature"] for sample in self.forward(batch)])
                features[len(names) : len(names) + len(found)] = found
                names += readable
        if skipped:
            some = ", ".join(printable(name, 4096) for name in skipped[:3]) + (", ..." if len(skipped) > 3 else "")
            print_log(f"{len(skipped)} of {len(paths)} images cannot be read and are skipped: {some}", logger="current")
        if not names:
            raise UserError(f"none of {len(paths)} images can be read: give a folder or paths of JPEG or PNG files")
        self.images = ImageIndex(features[: len(names)], tuple(names), self.fingerprint)
        return skipped

    @overload
    def embed_images(
        self, images: ImagesInput, batch_size: int = ..., show_progress: bool | None = ..., return_names: Literal[False] = ...
    ) -> np.ndarray: ...

    @overload
    def embed_images(
        self, images: ImagesInput, batch_size: int = ..., show_progress: bool | None = ..., *, return_names: Literal[True]
    ) -> tuple[np.ndarray, list[str | None]]: ...

    def embed_images(
        self, images: ImagesInput, batch_size: int = 32, show_progress: bool | None = None, return_names: bool = False
    ) -> np.ndarray | tuple[np.ndarray, list[str | None]]:
        """Encode images. :meth:`index` stores the same vectors, and :meth:`query` compares them.

        Args:
            images: one or several images, see :func:`~mmbeit3.images.read_pixels`, or a folder. Images of a folder that cannot
                be read are skipped and logged; they have no row in the result.
            batch_size: number of images per forward pass.
            show_progress: True for a progress bar; default the setting of the inferencer.
            return_names: True to return also the path of each row's image, or None for pixels.

        Returns:
            Unit vectors (N, C), float32, in the order of the images; with ``return_names`` a tuple of these and N names.

        Raises:
            UserError: if there are no images, a given image cannot be read, or no image of a folder can be read.
        """
        queries = [Query((image,)) for image in list_images(images)]
        found = self._embed(queries, "image_feature", batch_size, show_progress, is_folder(images))
        features = _stack(found)
        return (features, [each["name"] for each in found]) if return_names else features

    def embed_texts(self, texts: str | Sequence[str], batch_size: int = 32, show_progress: bool | None = None) -> np.ndarray:
        """Encode texts. :meth:`query` compares the same vectors with those of the images.

        Args:
            texts: one or several texts.
            batch_size: number of texts per forward pass.
            show_progress: True for a progress bar; default the setting of the inferencer.

        Returns:
            Unit vectors (N, C), float32, in the order of the texts. ``embed_images(...) @ embed_texts(...).T`` are the cosine
            similarities.

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
        skip_unreadable: bool = False,
    ) -> list[dict[str, Any]]:
        """Return dicts of ``feature``, a tensor (C,), and ``name``, the name of the image or None."""

        def keep(query: Query, result: Mapping[str, Any]) -> dict[str, Any]:
            return {"feature": result[feature], "name": name_image(query.images[0]) if query.images else None}

        found = self.infer(queries, keep, batch_size, show_progress=show_progress, skip_unreadable=skip_unreadable)
        return found["predictions"]

    def save(self, path: str | Path) -> None:
        """Write the index to a file of the safetensors format.

        Raises:
            UserError: if there is no index yet, or it cannot be written.
        """
        self._need_index().save(path)

    def load(self, path: str | Path) -> None:
        """Load an index from a file that :meth:`save` wrote.

        Raises:
            UserError: if it cannot be read, or was made with other weights.
        """
        self.images = ImageIndex.load(path, self.fingerprint)

    def query(self, text: str | None = None, image: ImageInput | None = None, top_k: int = 10) -> list[dict[str, Any]]:
        """Find the images closest to a text or an image.

        Args:
            text, image: give exactly one of them.
            top_k: number of images to find.

        Returns:
            Dicts of ``image``, the path, and ``score``, the cosine similarity (-1 to 1), closest first.

        Raises:
            UserError: if there is no index yet, the text is empty or the image cannot be read.
            ValueError: if both or none are given.
        """
        found = self(text, None if image is None else [image], top_k=top_k, show_progress=False)
        return found["predictions"][0]["matches"]

    def __call__(
        self,
        texts: str | Sequence[str] | None = None,
        images: ImagesInput | None = None,
        *,
        top_k: int = 10,
        **options: Unpack[InferOptions],
    ) -> dict[str, Any]:
        """Find the images closest to each of several texts or images.

        Args:
            texts, images: give exactly one of them; for images see :func:`~mmbeit3.images.read_pixels`.
            top_k: number of images to find.
            **options: see :class:`~mmbeit3.inference.base.InferOptions`.

        Returns:
            The dict of :meth:`~mmbeit3.inference.TaskInferencer.infer`. Each of ``predictions`` has ``text`` or ``image``, and
            ``matches``, the result of :meth:`query`.

        Raises:
            UserError: if there is no index yet, a text is empty or an image cannot be read.
            ValueError: if both or none are given.
        """
        self._need_index()
        if (texts is None) == (images is None):
            raise ValueError("retrieval needs either texts or images: give exactly one of them")
        if texts is not None:
            queries = [Query(text=text) for text in check_texts(texts, "text")]
        else:
            queries = [Query((image,)) for image in list_images(images)]  # type: ignore[arg-type]
        postprocess = partial(self.postprocess, top_k=top_k)
        return self.infer(queries, postprocess, skip_unreadable=is_folder(images), **options)

    def postprocess(self, query: Query, result: Mapping[str, Any], top_k: int = 10) -> dict[str, Any]:
        """Convert a query and its result to a prediction, see :meth:`__call__`."""
        index = self._need_index()
        feature = result["text_feature" if query.text is not None else "image_feature"]
        scores, rows = index.search(feature[None], top_k)
        pairs = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        source = {"text": query.text} if query.text is not None else {"image": name_image(query.images[0])}
        return {**source, "matches": [{"image": index.names[row], "score": score} for row, score in pairs]}

    def visualize(self, images: Sequence[np.ndarray], prediction: Mapping[str, Any]) -> np.ndarray:
        """Draw the query and the first matches, which are read from their files."""
        found = [read_pixels(match["image"]) for match in prediction["matches"][:_DRAWN]]
        return draw_with_text([*images, *found], self.lines(prediction), _HEIGHT)

    def lines(self, prediction: Mapping[str, Any]) -> list[str]:
        """Return the text, and the scores and names of the first matches."""
        found = [f"{match['score']:.3f} {match['image']}" for match in prediction["matches"][:_DRAWN]]
        return [prediction["text"], *found] if "text" in prediction else found

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights, which identifies the indices of this model."""
        return fingerprint(self.model.network)

    def _need_index(self) -> ImageIndex:
        if self.images is None:
            raise UserError("there are no images to search in: call index() with a folder, or load() with a saved index")
        return self.images


def _stack(found: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Stack features to one array (N, C), float32."""
    return torch.stack([each["feature"] for each in found]).float().numpy()


def _load_readable(pipeline: TaskPipeline, paths: Sequence[str | Path]) -> tuple[list[str], list[str], dict[str, Any] | None]:
    """Return the names of readable images, the names of unreadable ones, and a batch of the readable images."""
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
