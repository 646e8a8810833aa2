"""Metrics that OpenMMLab does not have, has only in part, or has only with packages that are not on PyPI.

* ``mmbeit3.evaluation.metrics``: the metrics and the functions they compute with.
* ``mmbeit3.evaluation.errors``: an HTML page that analyses the errors of a detector or segmentor.
* ``mmbeit3.evaluation.published``: published scores of released models, measured again.

``errors`` and ``published`` may use ``metrics``; ``metrics`` uses neither, and neither uses the other.
"""

import mmbeit3.registry  # noqa: F401  (names the extra to install if OpenMMLab is missing)
from mmbeit3.evaluation.metrics.captions import CaptionScores
from mmbeit3.evaluation.metrics.confusion import ConfusionMatrix
from mmbeit3.evaluation.metrics.label_accuracy import LabelAccuracy
from mmbeit3.evaluation.metrics.panoptic import CocoPanopticQualityMetric
from mmbeit3.evaluation.metrics.panoptic_quality import PanopticStatistics, Segment, match_segments
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
    "match_segments",
]
