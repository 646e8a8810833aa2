"""The tabs of the demo page, one function per task. Independent of Gradio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmbeit3 import inference
from mmbeit3.errors import UserError, printable
from mmbeit3.images import read_pixels
from mmbeit3.inference.loading import refuse_task
from mmbeit3.web.found import coco_file, label_file, make_table, shrink
from mmbeit3.web.source import Source
from mmbeit3.web.tab import Field, Tab

__all__ = ["TABS"]

_TOP = 5
"""Number of answers or classes to list."""
_THUMBNAIL = 320
"""Longer side of the images in search results, in pixels."""

_IMAGE = Field("image", "Image")
_TILE = Field("pixels", "Tile size in pixels", hint="empty: no tiles")


def detection_tab(model: str, checkpoint: str | None = None, device: str | None = None) -> Tab:
    """Build the tab that draws and lists the objects that a detector finds."""
    score = Field("fraction", "Score threshold", 0.5)
    return _dense_tab("Detection", "Detect", "Objects", (_IMAGE, score, _TILE), Source(model, checkpoint, device))


def segmentation_tab(model: str, checkpoint: str | None = None, device: str | None = None) -> Tab:
    """Build the tab that draws and lists the classes or panoptic segments of an image."""
    return _dense_tab("Segmentation", "Segment", "Regions", (_IMAGE, _TILE), Source(model, checkpoint, device))


def vqa_tab(model: str, checkpoint: str | None = None, device: str | None = None) -> Tab:
    """Build the tab that answers questions about an image."""
    source = Source(model, checkpoint, device)

    def predict(answer: inference.VQAInferencer, image: Path, question: str | None) -> tuple[dict[str, float]]:
        return (_top_scores(answer(image, question or "", top_k=_TOP)),)

    question = Field(
        "text",
        "Question",
        hint="What is in the picture?",
        examples=("what is in the picture?", "what colour is it?", "how many are there?"),
        examples_of_shapes=("how many circles are there", "is there a star", "what colour is the triangle"),
    )
    return Tab(
        title="Question answering",
        note=source.note,
        button="Ask",
        inputs=(_IMAGE, question),
        outputs=(Field("scores", "Answers"),),
        build=lambda: source.build(inference.VQAInferencer),
        predict=predict,
        folder=source.folder,
    )


def caption_tab(model: str, checkpoint: str | None = None, device: str | None = None) -> Tab:
    """Build the tab that captions an image."""
    source = Source(model, checkpoint, device)

    def predict(describe: inference.CaptionInferencer, image: Path) -> tuple[str]:
        return (describe(image)["predictions"][0]["pred_caption"],)

    return Tab(
        title="Captioning",
        note=source.note,
        button="Describe",
        inputs=(_IMAGE,),
        outputs=(Field("text", "Caption"),),
        build=lambda: source.build(inference.CaptionInferencer),
        predict=predict,
        folder=source.folder,
    )


def retrieval_tab(model: str, *arguments: str, device: str | None = None) -> Tab:
    """Build the tab that searches the images of a folder by text or by image. The first search encodes the folder.

    Args:
        model: the model.
        *arguments: the checkpoint, if the model is a config file, and the folder.
        device: the device.
    """
    if not arguments:
        raise UserError("the tab for retrieval needs a folder with images: give it after the model")
    folder = arguments[-1]
    source = Source(model, arguments[0] if len(arguments) > 1 else None, device)
    if not Path(folder).is_dir():
        raise UserError(f"image folder '{folder}' does not exist: check the path")

    def build() -> inference.RetrievalInferencer:
        search = source.build(inference.RetrievalInferencer, show_progress=True)
        search.index(folder)
        return search

    def predict(
        search: inference.RetrievalInferencer, text: str | None, image: Path | None, count: float
    ) -> tuple[list[tuple[np.ndarray, str]]]:
        text = text or None
        if (text is None) == (image is None):
            raise UserError("the search needs either a text or an image: write a text or choose an image, not both")
        found = search.query(text, image, int(count))
        return ([(_thumbnail(each["image"]), f"{each['score']:.3f} {_name(each['image'])}") for each in found],)

    text = Field(
        "text",
        "Text",
        hint="a dog on a beach",
        examples=("a person", "an animal", "a street"),
        examples_of_shapes=("a circle and a star", "two triangles", "a square"),
    )
    return Tab(
        title="Retrieval",
        note=f"{source.note}, images in {folder}",
        button="Search",
        inputs=(text, Field("image", "Or an image", optional=True), Field("count", "Images to find", 6)),
        outputs=(Field("images", "Closest images"),),
        build=build,
        predict=predict,
        folder=Path(folder),
    )


def nlvr2_tab(model: str, checkpoint: str | None = None, device: str | None = None) -> Tab:
    """Build the tab that decides if a sentence is true of two images."""
    source = Source(model, checkpoint, device)

    def predict(judge: inference.NLVR2Inferencer, left: Path, right: Path, sentence: str | None) -> tuple[dict[str, float]]:
        found = judge(left, right, sentence or "")["predictions"][0]
        true = found["pred_score"] if found["pred_label"] else 1 - found["pred_score"]
        return ({"true": true, "false": 1 - true},)

    sentence = Field(
        "text",
        "Sentence",
        hint="Both pictures show a dog.",
        examples=("both images show the same thing", "there are two people in all", "only one image shows an animal"),
        examples_of_shapes=("each image has a circle", "only one image has a star", "there are two squares in all"),
    )
    return Tab(
        title="Image pairs",
        note=source.note,
        button="Check",
        inputs=(Field("image", "Left image"), Field("image", "Right image"), sentence),
        outputs=(Field("scores", "Result"),),
        build=lambda: source.build(inference.NLVR2Inferencer),
        predict=predict,
        folder=source.folder,
    )


def classify_tab(model: str, checkpoint: str | None = None, device: str | None = None) -> Tab:
    """Build the tab that classifies an image. Zero-shot models accept class names; new names load the model again."""
    source = Source(model, checkpoint, device)

    def build(*names: str) -> inference.ClassificationInferencer:
        return source.build(inference.ClassificationInferencer, class_names=names or None)

    def predict(classify: inference.ClassificationInferencer, image: Path, _: str | None) -> tuple[dict[str, float]]:
        return (_top_scores(classify(image, top_k=_TOP)),)

    def split(_: Any, names: str | None) -> tuple[str, ...]:
        return tuple(name.strip() for name in (names or "").split(",") if name.strip())

    return Tab(
        title="Classification",
        note=source.note,
        button="Classify",
        inputs=(_IMAGE, Field("text", "Class names", hint="a dog, a cat, … (empty: the classes of the model)")),
        outputs=(Field("scores", "Classes"),),
        build=build,
        predict=predict,
        key=split,
        folder=source.folder,
    )


TABS: Mapping[str, Callable[..., Tab]] = {
    "detection": detection_tab,
    "segmentation": segmentation_tab,
    "vqa": vqa_tab,
    "caption": caption_tab,
    "retrieval": retrieval_tab,
    "nlvr2": nlvr2_tab,
    "classify": classify_tab,
}
"""For each task the function that builds its tab. :data:`~mmbeit3.web.tasks.TASKS` names the arguments."""


def _dense_tab(title: str, button: str, picture: str, inputs: tuple[Field, ...], source: Source) -> Tab:
    """Build the tab of a detector or segmentor, whose inputs are the image, the score threshold if any, and the tile size."""
    refuse_task(source.cfg, source.model)
    outputs = (
        Field("image", picture),
        Field("table", "List"),
        Field("file", "Download JSON (COCO results)"),
        Field("file", "Download labels (PNG)"),
    )
    return Tab(
        title=title,
        note=source.note,
        button=button,
        inputs=inputs,
        outputs=outputs,
        build=partial(inference.load_model, source.model, source.checkpoint, source.device),
        predict=_predict_dense,
        folder=source.folder,
    )


def _predict_dense(model: inference.Predictor, image: Path, *settings: Any) -> tuple[Any, ...]:
    *score, tile = settings
    result = model.predict(image, tile=_tile_size(tile), **({"score": score[0]} if score else {}))
    stem = printable(image.stem, 100)
    return shrink(result.draw()), make_table(result), coco_file(result, stem), label_file(result, stem)


def _tile_size(text: str | None) -> int | None:
    """Return the tile size of the field; None if it is empty."""
    text = (text or "").strip()
    if not text:
        return None
    if not text.isdecimal():
        raise UserError(
            f"the tile size '{printable(text, 20)}' is not a whole number of pixels: give one such as 640, or leave the field "
            "empty"
        )
    return int(text)


def _top_scores(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the top scores of an inferencer's single prediction by name, or by label for classes without names."""
    return {str(each.get("name", each["label"])): each["score"] for each in results["predictions"][0]["top"]}


def _name(path: str) -> str:
    return printable(Path(path).name, 255)


def _thumbnail(path: str) -> np.ndarray:
    return shrink(read_pixels(path), _THUMBNAIL)[..., ::-1]
