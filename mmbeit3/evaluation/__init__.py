"""Metrics that OpenMMLab has not, only in part, or only with packages that are not on PyPI."""

import mmbeit3.registry  # noqa: F401  (says what to install)
from mmbeit3.evaluation.captions import CaptionScores
from mmbeit3.evaluation.confusion import ConfusionMatrix
from mmbeit3.evaluation.label_accuracy import LabelAccuracy
from mmbeit3.evaluation.panoptic import CocoPanopticQualityMetric
from mmbeit3.evaluation.panoptic_quality import PanopticStatistics, Segment, compare
from mmbeit3.evaluation.retrieval import ImageTextRecall
from mmbeit3.evaluation.vqa_score import VQAScore

__all__ = [
    "CaptionScores",
    "CocoPanopticQualityMetric",
    "ConfusionMatrix",
    "ImageTextRecall",
    "LabelAccuracy",
    "PanopticStatistics",
    "Segment",
    "VQAScore",
    "compare",
]
