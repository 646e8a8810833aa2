"""Models of the tasks, to be called with images and texts as users have them."""

import mmbeit3.registry  # noqa: F401  (says what to install)
from mmbeit3.apis.inferencers.base import TaskInferencer
from mmbeit3.apis.inferencers.captioning import CaptionInferencer
from mmbeit3.apis.inferencers.classification import ClassificationInferencer
from mmbeit3.apis.inferencers.index import ImageIndex
from mmbeit3.apis.inferencers.nlvr2 import NLVRInferencer
from mmbeit3.apis.inferencers.retrieval import RetrievalInferencer
from mmbeit3.apis.inferencers.vqa import VQAInferencer

__all__ = [
    "CaptionInferencer",
    "ClassificationInferencer",
    "ImageIndex",
    "NLVRInferencer",
    "RetrievalInferencer",
    "TaskInferencer",
    "VQAInferencer",
]
