"""Metrics that OpenMMLab has not, only in part, or only with packages that are not on PyPI."""

import mmbeit3.registry  # noqa: F401  (says what to install)
from mmbeit3.evaluation.metrics.captions import CaptionScores
from mmbeit3.evaluation.metrics.confusion import ConfusionMatrix
from mmbeit3.evaluation.metrics.label_accuracy import LabelAccuracy
from mmbeit3.evaluation.metrics.panoptic import CocoPanopticQualityMetric
from mmbeit3.evaluation.metrics.panoptic_quality import PanopticStatistics, Segment, compare
from mmbeit3.evaluation.metrics.retrieval import ImageTextRecall
from mmbeit3.evaluation.metrics.vqa_score import VQAScore

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
