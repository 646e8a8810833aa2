"""Transforms of the image-text pipelines: from the image, text and label of an annotation to tensors."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mmbeit3.datasets.transforms import LoadImageOrFail
from mmbeit3.errors import UserError
from mmbeit3.registry import TRANSFORMS
from mmbeit3.text.tokenizer import TextTokenizer

__all__ = ["EncodeText", "LoadImageOrGrey", "PackTask", "load_tokenizer"]

_ID_KEYS = ("question_id", "identifier", "text_id", "image_id", "img_path")
"""Keys that identify a sample in an error message, most specific first."""


@lru_cache(maxsize=4)
def load_tokenizer(path: str) -> TextTokenizer:
    """Load a tokenizer. Each process reads a file once."""
    return TextTokenizer(path)


@TRANSFORMS.register_module()
class LoadImageOrGrey(LoadImageOrFail):
    """Load an image for evaluation. A damaged one becomes a grey image of 64 x 64 pixels, and the sample is ``unreadable``.

    One damaged file then does not stop the evaluation of thousands. The metrics of :mod:`mmbeit3.evaluation` count such samples
    as wrong and log their number. A missing file is still an error, because the data are incomplete. For training use
    :class:`~mmbeit3.datasets.transforms.LoadImageOrFail`.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load ``results['img_path']`` and set ``results['unreadable']``.

        Raises:
            UserError: if the file does not exist.
        """
        try:
            return {**super().transform(results), "unreadable": False}
        except UserError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise
        return {
            **results,
            "img": np.full((64, 64, 3), 128, np.uint8),
            "img_shape": (64, 64),
            "ori_shape": (64, 64),
            "unreadable": True,
        }


@TRANSFORMS.register_module()
class EncodeText(BaseTransform):
    """Encode a sample's text to ``tokens`` (T,), int64, from ``<s>`` to ``</s>``, without padding.

    A longer text is cut, as in the reference; ``</s>`` is kept. Each process logs the first text that it cuts.

    Args:
        tokenizer: file of a :class:`~mmbeit3.text.TextTokenizer`.
        key: key of the text in the sample.
        max_length: largest number of tokens, including ``<s>`` and ``</s>``.
        max_positions: largest number of tokens that the model supports: the rows of its position embedding minus two, 1022 for
            the released models.

    Raises:
        UserError: if the tokenizer cannot be read, or ``max_length`` is below 3 or above ``max_positions``.
    """

    def __init__(self, tokenizer: str, key: str, max_length: int = 64, max_positions: int = 1022) -> None:
        if not 3 <= max_length <= max_positions:
            raise UserError(
                f"EncodeText: max_length is {max_length}: set it from 3 (<s>, a word, </s>) to {max_positions}, the number of "
                "positions of the model"
            )
        self.tokenizer = load_tokenizer(tokenizer)
        self.key = key
        self.max_length = max_length
        self.cut = False

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``tokens``.

        Raises:
            UserError: if there is no text, or it is empty or not valid Unicode. The message names the sample.
        """
        text = results.get(self.key)
        if not isinstance(text, str):
            raise UserError(
                f"{_name(results)}: '{self.key}' is a {type(text).__name__}, not a text: correct the data, or EncodeText's key"
            )
        try:
            ids = self.tokenizer.encode(text)
        except UnicodeEncodeError as error:
            raise UserError(
                f"'{self.key}' of {_name(results)} is not valid Unicode ({error.reason}): correct the text"
            ) from error
        if not ids:
            raise UserError(f"'{self.key}' of {_name(results)} is empty ({text[:20]!r}): remove it from the data")
        if len(ids) > self.max_length - 2 and not self.cut:
            self.cut = True
            print_log(
                f"'{self.key}' of {_name(results)} has {len(ids) + 2} tokens and is cut to {self.max_length}, like all "
                "longer texts: raise max_length of EncodeText if that is too short",
                "current",
                logging.WARNING,
            )
        ids = [self.tokenizer.bos_id, *ids[: self.max_length - 2], self.tokenizer.eos_id]
        results["tokens"] = torch.tensor(ids)
        return results


@TRANSFORMS.register_module()
class PackTask(BaseTransform):
    """Pack a sample for :func:`~mmbeit3.datasets.collate.collate_samples`. It is the last transform of a pipeline.

    ``inputs`` gets ``image`` (3, H, W), uint8 RGB, from ``img`` (H, W, 3), BGR, or ``image`` and ``image2`` from a list of two,
    and ``tokens`` if the sample has them. ``data_samples`` gets the fields of ``meta``, with ``gt_label`` as int64 (1,), and
    ``unreadable`` if an image is unreadable.

    Args:
        meta: fields to copy to ``data_samples``; every sample must have them.
    """

    def __init__(self, meta: Sequence[str] = ()) -> None:
        self.meta = tuple(meta)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack a sample.

        Raises:
            UserError: if a field is missing.
        """
        inputs: dict[str, Any] = {}
        images = results.get("img")
        if images is not None:
            images = images if isinstance(images, list) else [images]
            for name, image in zip(("image", "image2"), images, strict=False):
                inputs[name] = torch.from_numpy(_rgb(image)).permute(2, 0, 1).contiguous()
        if "tokens" in results:
            inputs["tokens"] = results["tokens"]
        if missing := [field for field in self.meta if field not in results]:
            raise UserError(f"{_name(results)} has no {', '.join(missing)}: change meta of PackTask, or the dataset")
        fields = {field: results[field] for field in self.meta}
        if "gt_label" in fields:
            fields["gt_label"] = torch.as_tensor(fields["gt_label"], dtype=torch.int64).reshape(1)
        if np.any(results.get("unreadable", False)):
            fields["unreadable"] = True
        return {"inputs": inputs, "data_samples": fields}


def _rgb(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_BGR2RGB)


def _name(results: Mapping[str, Any]) -> str:
    """Return a name of a sample, for error messages."""
    return next((f"sample with {key} {results[key]!r}" for key in _ID_KEYS if key in results), "a sample")
