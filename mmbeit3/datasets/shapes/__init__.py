"""Shapes: a small synthetic dataset in the formats of COCO and ADE20K, for demos and tests."""

from mmbeit3.datasets.shapes.classes import STUFF_CLASSES, THING_CLASSES
from mmbeit3.datasets.shapes.render import Scene, SceneObject, render_scene
from mmbeit3.datasets.shapes.write import make_shapes_dataset

__all__ = ["STUFF_CLASSES", "THING_CLASSES", "Scene", "SceneObject", "make_shapes_dataset", "render_scene"]
