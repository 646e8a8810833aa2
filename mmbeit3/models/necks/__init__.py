"""Necks."""

import mmbeit3.registry  # noqa: F401  (reports missing packages)
from mmbeit3.models.necks.simple_feature_pyramid import SimpleFeaturePyramid

__all__ = ["SimpleFeaturePyramid"]
