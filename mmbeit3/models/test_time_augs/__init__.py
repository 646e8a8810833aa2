"""Test-time augmentation."""

import mmbeit3.registry  # noqa: F401  (says what to install)
from mmbeit3.models.test_time_augs.instances import InstanceTTAModel

__all__ = ["InstanceTTAModel"]
