"""Test-time augmentation."""

import mmbeit3.registry  # noqa: F401  (reports missing packages)
from mmbeit3.models.test_time_augs.instances import InstanceTTAModel

__all__ = ["InstanceTTAModel"]
