"""Necks."""

import mmbeit3.registry  # noqa: F401  (says what to install)
from mmbeit3.models.necks.simple_feature_pyramid import SimpleFeaturePyramid

__all__ = ["SimpleFeaturePyramid"]
