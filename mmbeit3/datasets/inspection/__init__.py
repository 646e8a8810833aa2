"""Inspection of a folder of data: counts, classes, sizes, faults, and a contact sheet with the ground truth."""

from mmbeit3.datasets.inspection.inspect import inspect_folder
from mmbeit3.datasets.inspection.report import ClassCount, Example, FolderReport, SplitReport

__all__ = ["ClassCount", "Example", "FolderReport", "SplitReport", "inspect_folder"]
