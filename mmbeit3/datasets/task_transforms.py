"""Transforms of the tasks' pipelines: from an annotation's image, text and label to tensors."""

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

_NAMES = ("question_id", "identifier", "text_id", "image_id", "img_path")
"""What a sample may be called by, most telling first."""


@lru_cache(maxsize=4)
def load_tokenizer(path: str) -> TextTokenizer:
    """The tokenizer of a file, read once in a process."""
    return TextTokenizer(path)


@TRANSFORMS.register_module()
class LoadImageOrGrey(LoadImageOrFail):
    """For evaluation: a damaged image becomes a grey one of 64 x 64 pixels, and the sample is marked ``unreadable``.

    So one damaged file does not end the evaluation of thousands, and is not lost from the count either: the metrics of
    :mod:`mmbeit3.evaluation` count such samples as wrong and log how many there were. A missing file is an error, as the data
    is incomplete then. In training use :class:`~mmbeit3.datasets.transforms.LoadImageOrFail`.
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
    """Encode a sample's text to ``tokens`` (T,), int64, from ``<s>`` to ``</s>``, unpadded.

    A longer text is cut, as in the reference; ``</s>`` stays. The first in each process is logged.

    Args:
        tokenizer: file of a :class:`~mmbeit3.text.TextTokenizer`.
        key: where the text is.
        max_length: most tokens, ``<s>`` and ``</s>`` included.
        max_positions: texts that the model's position table has room for: its rows less two, 1022 of the released models.

    Raises:
        UserError: if the tokenizer cannot be used, or ``max_length`` leaves no room for a word or is above ``max_positions``.
    """

    def __init__(self, tokenizer: str, key: str, max_length: int = 64, max_positions: int = 1022) -> None:
        if not 3 <= max_length <= max_positions:
            raise UserError(
                f"EncodeText: max_length must be from 3 (<s>, a word, </s>) to {max_positions}, the positions that the model "
                f"has, got {max_length}"
            )
        self.tokenizer = load_tokenizer(tokenizer)
        self.key = key
        self.max_length = max_length
        self.cut = False

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``tokens``.

        Raises:
            UserError: if there is no text, or it is empty or no valid Unicode; the message names the sample.
        """
        text = results.get(self.key)
        if not isinstance(text, str):
            raise UserError(f"{_name(results)} has no text '{self.key}': found {type(text).__name__}")
        try:
            ids = self.tokenizer.encode(text)
        except UnicodeEncodeError as error:
            raise UserError(f"'{self.key}' of {_name(results)} is no valid Unicode: {error.reason}") from error
        if not ids:
            raise UserError(f"'{self.key}' of {_name(results)} is empty ({text[:20]!r}): remove it from the data")
        if len(ids) > self.max_length - 2 and not self.cut:
            self.cut = True
            print_log(
                f"'{self.key}' of {_name(results)} has {len(ids) + 2} tokens and is cut to {self.max_length}, as all longer "
                "ones will be: raise EncodeText's max_length if that is too few",
                "current",
                logging.WARNING,
            )
        ids = [self.tokenizer.bos_id, *ids[: self.max_length - 2], self.tokenizer.eos_id]
        results["tokens"] = torch.tensor(ids)
        return results


@TRANSFORMS.register_module()
class PackTask(BaseTransform):
    """Make a sample what :func:`~mmbeit3.datasets.collate.collate_samples` takes; the last transform of a pipeline.

    ``inputs`` gets ``image`` (3, H, W), uint8 RGB, of the loaded ``img`` (H, W, 3), BGR, or ``image`` and ``image2`` of a list
    of two, and ``tokens`` where there are some. ``data_samples`` gets the named fields, ``gt_label`` as int64 (1,), and
    ``unreadable`` where an image is.

    Args:
        meta: fields for ``data_samples``; the sample must have them.
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
            raise UserError(f"{_name(results)} has no {', '.join(missing)}: change PackTask's meta, or the dataset")
        fields = {field: results[field] for field in self.meta}
        if "gt_label" in fields:
            fields["gt_label"] = torch.as_tensor(fields["gt_label"], dtype=torch.int64).reshape(1)
        if np.any(results.get("unreadable", False)):
            fields["unreadable"] = True
        return {"inputs": inputs, "data_samples": fields}


def _rgb(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_BGR2RGB)


def _name(results: Mapping[str, Any]) -> str:
    """What to call a sample in an error."""
    return next((f"sample with {key} {results[key]!r}" for key in _NAMES if key in results), "a sample")
