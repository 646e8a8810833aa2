"""Configs, inferencer classes and call arguments of all tasks but retrieval."""

from mmbeit3.inference import CaptionInferencer, ClassificationInferencer, NLVR2Inferencer, VQAInferencer
from mmbeit3.inference.pipeline import Query, load_batch
from tests.datasets.made import CAPTIONS
from tests.inference.made import NETWORK

ANSWERS = ["yes", "no", "red", "two", "left"]
NAMES = ["red circle", "blue box", "green"]
MODELS = {
    "vqa": ({"type": "mmbeit3.BEiT3VQA", "answers": ANSWERS}, "question", 1),
    "nlvr2": ({"type": "mmbeit3.BEiT3NLVR2"}, "text", 2),
    "captioning": ({"type": "mmbeit3.BEiT3Captioning", "max_length": 8}, None, 1),
    "classification": ({"type": "mmbeit3.BEiT3Classification", "network": {**NETWORK, "num_classes": 3}}, None, 1),
    "named": ({"type": "mmbeit3.BEiT3ZeroShotClassification", "class_names": NAMES}, None, 1),
    "retrieval": ({"type": "mmbeit3.BEiT3Retrieval"}, "text", 1),
}
CLASSES = {
    "vqa": VQAInferencer,
    "nlvr2": NLVR2Inferencer,
    "captioning": CaptionInferencer,
    "classification": ClassificationInferencer,
    "named": ClassificationInferencer,
}
QUESTIONS = [CAPTIONS[4], "two green triangles", "red", "a blue box under three circles", "the box"]


def arguments(task, images):
    """Return the arguments of a call for five predictions."""
    if task == "nlvr2":
        return images, images[::-1], QUESTIONS
    return (images, QUESTIONS) if task == "vqa" else (images,)


def batch(inferencer, task, images):
    """Return the input tensors of the model for :func:`arguments`."""
    if task == "nlvr2":
        queries = [Query(pair, text) for *pair, text in zip(images, images[::-1], QUESTIONS, strict=True)]
    elif task == "vqa":
        queries = [Query((image,), text) for image, text in zip(images, QUESTIONS, strict=True)]
    else:
        queries = [Query((image,)) for image in images]
    return load_batch(inferencer.pipeline, queries).inputs["inputs"]
