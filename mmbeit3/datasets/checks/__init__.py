"""Checks of a config's data before the model is built. mmdet and mmseg drop or mislabel such data without an error."""

from mmbeit3.datasets.checks.data import check_data

__all__ = ["check_data"]
