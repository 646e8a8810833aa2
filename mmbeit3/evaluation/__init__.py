"""Metrics that OpenMMLab has not, or only with packages that are not on PyPI."""

from mmbeit3.evaluation.panoptic import CocoPanopticQualityMetric
from mmbeit3.evaluation.panoptic_quality import PanopticStatistics, Segment, compare

__all__ = ["CocoPanopticQualityMetric", "PanopticStatistics", "Segment", "compare"]
