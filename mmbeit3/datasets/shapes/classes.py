"""Classes of the shapes dataset."""

__all__ = ["CATEGORY_IDS", "CROWDED_CLASS", "STUFF_CLASSES", "THING_CLASSES"]

THING_CLASSES = ("circle", "square", "triangle", "star", "cross", "crescent")
"""Classes of objects (things)."""

STUFF_CLASSES = ("stripes", "checks", "clouds")
"""Classes of background regions (stuff)."""

CROWDED_CLASS = "circle"
"""Class of the objects in a crowd."""

CATEGORY_IDS = dict(zip((*THING_CLASSES, *STUFF_CLASSES), (1, 2, 4, 5, 7, 9, 101, 103, 104), strict=True))
"""Class name to category id in the COCO files. The ids have gaps, like COCO's."""
