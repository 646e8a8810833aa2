"""What the demo page offers: a tab for each task, from plain values to plain values. Knows nothing of the page itself."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope

from mmbeit3 import inference
from mmbeit3.errors import UserError, printable
from mmbeit3.images import read_image, read_pixels
from mmbeit3.inference.dense import draw_prediction, load_model

__all__ = ["TABS", "Field", "Tab"]

_TOP = 5
"""Answers and classes that are listed."""
_THUMBNAIL = 320
"""Longer side of found images in pixels."""
_LOCK = threading.Lock()
"""Held while a model is loaded or runs: MMEngine's scopes and visualizers are of the whole process, and so is the memory."""


@dataclass(frozen=True)
class Field:
    """A value that a tab takes or gives.

    Attributes:
        kind: ``'image'``, a path when taken and uint8 (H, W, 3), RGB, when given; ``'text'``; ``'share'``, a float from 0 to 1;
            ``'count'``, a whole number from 1; ``'scores'``, names with numbers from 0 to 1; ``'images'``, pairs of an image as
            above and its caption.
        label: what it is called on the page.
        value: at first.
        hint: what to write, shown while there is nothing.
        optional: whether an image may be missing.
    """

    kind: Literal["image", "text", "share", "count", "scores", "images"]
    label: str
    value: Any = None
    hint: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Tab:
    """A task on the page; call it with the values of ``inputs`` to have that of ``output``.

    Attributes:
        title: of the tab.
        note: which model it is.
        button: what the button says.
        inputs: what is asked for.
        output: what is answered.
        predict: from the one to the other.
    """

    title: str
    note: str
    button: str
    inputs: tuple[Field, ...]
    output: Field
    predict: Callable[..., Any]

    def __call__(self, *values: Any) -> Any:
        """Predict; one at a time, whatever the tab.

        Raises:
            UserError: if an image is missing, or model or input cannot be used.
        """
        for field, value in zip(self.inputs, values, strict=True):
            if field.kind == "image" and value is None and not field.optional:
                raise UserError(f"there is no image in the field '{field.label}': choose one, or drop it there")
        # A Path is a file and never an address, which a visitor must not make this machine ask for.
        given = (
            Path(value) if field.kind == "image" and value is not None else value
            for field, value in zip(self.inputs, values, strict=True)
        )
        with _LOCK:
            return self.predict(*given)


_IMAGE = Field("image", "Image")


def detection_tab(config: str, checkpoint: str, device: str = "cpu") -> Tab:
    """Boxes and masks of a detector, drawn over the image."""
    model = cache(partial(load_model, config, checkpoint, device))

    def predict(image: str, score: float) -> np.ndarray:
        return _draw(*model(), image, score)

    inputs = (_IMAGE, Field("share", "Least score of what is drawn", 0.5))
    return Tab("Detection", _note(config, checkpoint), "Detect", inputs, Field("image", "Objects"), predict)


def segmentation_tab(config: str, checkpoint: str, device: str = "cpu") -> Tab:
    """Classes of a segmentor, drawn over the image."""
    model = cache(partial(load_model, config, checkpoint, device))

    def predict(image: str) -> np.ndarray:
        return _draw(*model(), image)

    return Tab("Segmentation", _note(config, checkpoint), "Segment", (_IMAGE,), Field("image", "Regions"), predict)


def vqa_tab(config: str, checkpoint: str, device: str = "cpu") -> Tab:
    """Answers to questions about an image."""
    model = cache(lambda: inference.VQAInferencer(config, checkpoint, device, show_progress=False))

    def predict(image: str, question: str | None) -> dict[str, float]:
        return _top(model()(image, question or "", top_k=_TOP))

    inputs = (_IMAGE, Field("text", "Question", hint="What is in the picture?"))
    return Tab("Question answering", _note(config, checkpoint), "Ask", inputs, Field("scores", "Answers"), predict)


def caption_tab(config: str, checkpoint: str, device: str = "cpu") -> Tab:
    """A sentence about an image."""
    model = cache(lambda: inference.CaptionInferencer(config, checkpoint, device, show_progress=False))

    def predict(image: str) -> str:
        return model()(image)["predictions"][0]["pred_caption"]

    return Tab("Captioning", _note(config, checkpoint), "Describe", (_IMAGE,), Field("text", "Caption"), predict)


def retrieval_tab(config: str, checkpoint: str, folder: str, device: str = "cpu") -> Tab:
    """Images of a folder that are closest to a text or an image. The folder is read at the first question."""
    note = f"{_note(config, checkpoint)}, images in {folder}"
    if not Path(folder).is_dir():
        raise UserError(f"folder '{folder}' does not exist")

    @cache
    def model() -> inference.RetrievalInferencer:
        made = inference.RetrievalInferencer(config, checkpoint, device)
        made.index(folder)
        return made

    def predict(text: str | None, image: str | None, count: int) -> list[tuple[np.ndarray, str]]:
        text = text or None
        if (text is None) == (image is None):
            raise UserError("there must be a text or an image to search by, and not both: write one, or choose the other")
        found = model().query(text, image, int(count))
        return [
            (_thumbnail(each["image"]), f"{each['score']:.3f} {printable(Path(each['image']).name, 255)}") for each in found
        ]

    inputs = (
        Field("text", "Text", hint="a dog on a beach"),
        Field("image", "or image", optional=True),
        Field("count", "Images to find", 6),
    )
    return Tab("Retrieval", note, "Search", inputs, Field("images", "Closest images"), predict)


def nlvr2_tab(config: str, checkpoint: str, device: str = "cpu") -> Tab:
    """Whether a sentence is true of two images."""
    model = cache(lambda: inference.NLVR2Inferencer(config, checkpoint, device, show_progress=False))

    def predict(left: str, right: str, sentence: str | None) -> dict[str, float]:
        found = model()(left, right, sentence or "")["predictions"][0]
        true = found["pred_score"] if found["pred_label"] else 1 - found["pred_score"]
        return {"true": true, "false": 1 - true}

    inputs = (
        Field("image", "Left image"),
        Field("image", "Right image"),
        Field("text", "Sentence", hint="Both pictures show a dog."),
    )
    return Tab("Reasoning over two images", _note(config, checkpoint), "Judge", inputs, Field("scores", "Judgement"), predict)


def classify_tab(config: str, checkpoint: str, device: str = "cpu") -> Tab:
    """Classes of an image. For models that read class names these may be written on the page; new ones load the model anew."""

    @lru_cache(maxsize=1)
    def model(names: tuple[str, ...]) -> inference.ClassificationInferencer:
        return inference.ClassificationInferencer(config, checkpoint, device, class_names=names or None, show_progress=False)

    def predict(image: str, names: str | None) -> dict[str, float]:
        given = tuple(name.strip() for name in (names or "").split(",") if name.strip())
        return _top(model(given)(image, top_k=_TOP))

    inputs = (_IMAGE, Field("text", "Class names", hint="a dog, a cat, … (empty: the model's own)"))
    return Tab("Classification", _note(config, checkpoint), "Classify", inputs, Field("scores", "Classes"), predict)


TABS: Mapping[str, tuple[Callable[..., Tab], tuple[str, ...]]] = {
    "detection": (detection_tab, ("CONFIG", "CHECKPOINT")),
    "segmentation": (segmentation_tab, ("CONFIG", "CHECKPOINT")),
    "vqa": (vqa_tab, ("CONFIG", "CHECKPOINT")),
    "caption": (caption_tab, ("CONFIG", "CHECKPOINT")),
    "retrieval": (retrieval_tab, ("CONFIG", "CHECKPOINT", "FOLDER")),
    "nlvr2": (nlvr2_tab, ("CONFIG", "CHECKPOINT")),
    "classify": (classify_tab, ("CONFIG", "CHECKPOINT")),
}
"""Each task's function, and what it is called with besides the device."""


def _note(config: str, checkpoint: str) -> str:
    """Name the model, once its files are seen to be there: the page should not open for a slip of the pen."""
    if not Path(config).is_file():
        raise UserError(f"config '{config}' does not exist")
    if urlparse(checkpoint).scheme not in ("http", "https") and not Path(checkpoint).is_file():
        raise UserError(f"checkpoint '{checkpoint}' does not exist")
    return f"{Path(config).stem}, weights {Path(checkpoint).name}"


def _draw(model: BaseModel, cfg: Config, image: str, score: float = 0.5) -> np.ndarray:
    # The scope is that of the model that was loaded last, which may be of another codebase.
    with tempfile.TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope(cfg.get("default_scope")):
        out = Path(folder) / "prediction.png"
        draw_prediction(model, cfg, image, out, score)
        return read_image(out)[..., ::-1]


def _top(results: Mapping[str, Any]) -> dict[str, float]:
    """The likeliest of an inferencer's only prediction; classes without names go by their numbers."""
    return {str(each.get("name", each["label"])): each["score"] for each in results["predictions"][0]["top"]}


def _thumbnail(path: str) -> np.ndarray:
    pixels = read_pixels(path)
    scale = min(1.0, _THUMBNAIL / max(pixels.shape[:2]))
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[..., ::-1]
