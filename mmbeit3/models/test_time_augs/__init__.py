"""Test-time augmentation."""

from mmbeit3.models.test_time_augs.instances import InstanceTTAModel

__all__ = ["InstanceTTAModel"]
