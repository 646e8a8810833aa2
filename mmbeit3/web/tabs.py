"""The tabs of the demo page, one per task, as functions of plain values. Independent of Gradio."""

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
"""Number of answers or classes to list."""
_THUMBNAIL = 320
"""Longer side of the images in search results, in pixels."""
_LOCK = threading.Lock()
"""Held while a model is loaded or runs: MMEngine's scopes and visualizers are global, and memory is limited."""


@dataclass(frozen=True)
class Field:
    """An input or the output of a tab.

    Attributes:
        kind: type of the value. ``'image'``: a path as input, uint8 (H, W, 3), RGB, as output; ``'text'``: a string;
            ``'fraction'``: a float from 0 to 1; ``'count'``: an integer from 1; ``'scores'``: a dict from names to numbers from
            0 to 1; ``'images'``: pairs of an image (as output) and its caption.
        label: label on the page.
        value: initial value.
        hint: placeholder text.
        optional: True if an image may be missing.
    """

    kind: Literal["image", "text", "fraction", "count", "scores", "images"]
    label: str
    value: Any = None
    hint: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Tab:
    """A task on the page. Call it with the values of ``inputs`` to get the value of ``output``.

    Attributes:
        title: title of the tab.
        note: description of the model.
        button: label of the button.
        inputs: fields that the user fills.
        output: field of the result.
        predict: function from the input values to the output value.
    """

    title: str
    note: str
    button: str
    inputs: tuple[Field, ...]
    output: Field
    predict: Callable[..., Any]

    def __call__(self, *values: Any) -> Any:
        """Predict. Only one tab runs at a time.

        Raises:
            UserError: if an image is missing, or the model or an input cannot be used.
        """
        for field, value in zip(self.inputs, values, strict=True):
            if field.kind == "image" and value is None and not field.optional:
                raise UserError(f"the field '{field.label}' has no image: choose an image, or drop one on the field")
        # A Path is always a local file. As a string, the value could be a URL, and a visitor could make the server request it.
        arguments = (
            Path(value) if field.kind == "image" and value is not None else value
            for field, value in zip(self.inputs, values, strict=True)
        )
        with _LOCK:
            return self.predict(*arguments)


_IMAGE = Field("image", "Image")


def detection_tab(config: str, checkpoint: str, device: str = "cpu") -> Tab:
    """Build the tab that draws the boxes and masks of a detector."""
    model = cache(partial(load_model, config, checkpoint, device))

    def predict(image: str, score: float) -> np.ndarray:
        return _draw(*model(), image, score)

    inputs = (_IMAGE, Field("fraction", "Minimum score", 0.5))
    return Tab("Detection", _note(config, checkpoint), "Detect", inputs, Field("image", "Objects"), predict)


def segmentation_tab(config: str, checkpoint: str, device: str = "cpu") -> Tab:
    """Build the tab that draws the classes of a segmentor."""
    model = cache(partial(load_model, config, checkpoint, device))

    def predict(image: str) -> np.ndarray:
        return _draw(*model(), image)

    return Tab("Segmentation", _note(config, checkpoint), "Segment", (_IMAGE,), Field("image", "Regions"), predict)


def vqa_tab(config: str, checkpoint: str, device: str = "cpu") -> Tab:
    """Build the tab that answers questions about an image."""
    model = cache(lambda: inference.VQAInferencer(config, checkpoint, device, show_progress=False))

    def predict(image: str, question: str | None) -> dict[str, float]:
        return _top_scores(model()(image, question or "", top_k=_TOP))

    inputs = (_IMAGE, Field("text", "Question", hint="What is in the picture?"))
    return Tab("Question answering", _note(config, checkpoint), "Ask", inputs, Field("scores", "Answers"), predict)


def caption_tab(config: str, checkpoint: str, device: str = "cpu") -> Tab:
    """Build the tab that captions an image."""
    model = cache(lambda: inference.CaptionInferencer(config, checkpoint, device, show_progress=False))

    def predict(image: str) -> str:
        return model()(image)["predictions"][0]["pred_caption"]

    return Tab("Captioning", _note(config, checkpoint), "Describe", (_IMAGE,), Field("text", "Caption"), predict)


def retrieval_tab(config: str, checkpoint: str, folder: str, device: str = "cpu") -> Tab:
    """Build the tab that searches the images of a folder by text or by image. The first search encodes the folder."""
    note = f"{_note(config, checkpoint)}, images in {folder}"
    if not Path(folder).is_dir():
        raise UserError(f"image folder '{folder}' does not exist: check the path")

    @cache
    def model() -> inference.RetrievalInferencer:
        search = inference.RetrievalInferencer(config, checkpoint, device)
        search.index(folder)
        return search

    def predict(text: str | None, image: str | None, count: int) -> list[tuple[np.ndarray, str]]:
        text = text or None
        if (text is None) == (image is None):
            raise UserError("the search needs either a text or an image: write a text or choose an image, not both")
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
    """Build the tab that decides if a sentence is true of two images."""
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
    return Tab("Reasoning over two images", _note(config, checkpoint), "Check", inputs, Field("scores", "Result"), predict)


def classify_tab(config: str, checkpoint: str, device: str = "cpu") -> Tab:
    """Build the tab that classifies an image. Zero-shot models accept class names; new names load the model again."""

    @lru_cache(maxsize=1)
    def model(names: tuple[str, ...]) -> inference.ClassificationInferencer:
        return inference.ClassificationInferencer(config, checkpoint, device, class_names=names or None, show_progress=False)

    def predict(image: str, names: str | None) -> dict[str, float]:
        class_names = tuple(name.strip() for name in (names or "").split(",") if name.strip())
        return _top_scores(model(class_names)(image, top_k=_TOP))

    inputs = (_IMAGE, Field("text", "Class names", hint="a dog, a cat, … (empty: the classes of the model)"))
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
"""For each task the function that builds its tab, and the names of its arguments except the device."""


def _note(config: str, checkpoint: str) -> str:
    """Describe a model, after a check that its files exist: a typo should fail before the page opens."""
    if not Path(config).is_file():
        raise UserError(f"config '{config}' does not exist: check the path")
    if urlparse(checkpoint).scheme not in ("http", "https") and not Path(checkpoint).is_file():
        raise UserError(f"checkpoint '{checkpoint}' does not exist: check the path")
    return f"{Path(config).stem}, weights {Path(checkpoint).name}"


def _draw(model: BaseModel, cfg: Config, image: str, score: float = 0.5) -> np.ndarray:
    # The global scope belongs to the model loaded last, which may be of another codebase: set it for this call.
    with tempfile.TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope(cfg.get("default_scope")):
        out = Path(folder) / "prediction.png"
        draw_prediction(model, cfg, image, out, score)
        return read_image(out)[..., ::-1]


def _top_scores(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the top scores of an inferencer's single prediction by name, or by label for classes without names."""
    return {str(each.get("name", each["label"])): each["score"] for each in results["predictions"][0]["top"]}


def _thumbnail(path: str) -> np.ndarray:
    pixels = read_pixels(path)
    scale = min(1.0, _THUMBNAIL / max(pixels.shape[:2]))
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[..., ::-1]
