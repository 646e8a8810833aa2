"""The classes of the shapes dataset."""

__all__ = ["CATEGORY_IDS", "CROWDED_CLASS", "STUFF_CLASSES", "THING_CLASSES"]

THING_CLASSES = ("circle", "square", "triangle", "star", "cross", "crescent")
"""Classes of objects."""

STUFF_CLASSES = ("stripes", "checks", "clouds")
"""Classes of regions."""

CROWDED_CLASS = "circle"
"""Crowds are clusters of these."""

CATEGORY_IDS = dict(zip((*THING_CLASSES, *STUFF_CLASSES), (1, 2, 4, 5, 7, 9, 101, 103, 104), strict=True))
"""Category ids in the COCO files, with gaps as COCO's have."""
