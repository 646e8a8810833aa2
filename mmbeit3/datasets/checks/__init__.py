"""Checks of a config's data before anything is built: mmdet and mmseg drop or misname what they do not know without a word."""

from mmbeit3.datasets.checks.data import check_data

__all__ = ["check_data"]
