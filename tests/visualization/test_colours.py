"""Colours of classes: their distances, and that they do not depend on the number of classes."""

import cv2
import numpy as np

from mmbeit3.visualization.colours import class_colours, colours_for, text_colour

# Simulation of dichromacy on linear RGB, severity 1.0: Machado, Oliveira and Fernandes 2009, table 1.
DEUTERANOPIA = np.array([(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)])
PROTANOPIA = np.array([(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)])


def lab(colours, seen=None):
    """Return CIELAB values of sRGB colours, perhaps as somebody with colour blindness sees them."""
    values = np.asarray(colours, np.float32) / 255
    if seen is not None:
        values = ((values**2.2) @ seen.T).clip(0, 1) ** (1 / 2.2)
    return cv2.cvtColor(values[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]


def smallest_distance(values):
    distances = np.linalg.norm(values[:, None] - values[None], axis=2)
    return distances[~np.eye(len(values), dtype=bool)].min()


def test_a_class_keeps_its_colour():
    many = class_colours(300)
    assert many.shape == (300, 3)
    assert many.dtype == np.uint8
    assert len(np.unique(many, axis=0)) == 300
    for count in (0, 1, 7, 8, 29, 113):
        assert np.array_equal(class_colours(count), many[:count])
    assert class_colours(9000).shape == (9000, 3)
    assert np.array_equal(class_colours(9000)[:300], many)


def test_colours_are_well_separated():
    # 2.3 is the smallest difference that people notice.
    assert smallest_distance(lab(class_colours(12))) > 25
    assert smallest_distance(lab(class_colours(150))) > 5
    for seen in (DEUTERANOPIA, PROTANOPIA):
        assert smallest_distance(lab(class_colours(5), seen)) > 15


def test_palettes_are_completed():
    assert np.array_equal(colours_for(None, 4), class_colours(4))
    assert np.array_equal(colours_for([], 4), class_colours(4))
    palette = [(1, 2, 3), (4, 5, 6)]
    assert colours_for(palette, 2).tolist() == [[1, 2, 3], [4, 5, 6]]
    completed = colours_for(palette, 4)
    assert completed[:2].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert np.array_equal(completed[2:], class_colours(4)[2:])


def test_text_has_contrast():
    assert text_colour(np.array((255, 255, 255))) == (0, 0, 0)
    assert text_colour(np.array((0, 0, 0))) == (255, 255, 255)
    # Pure green is light, pure blue is dark.
    assert text_colour(np.array((0, 255, 0))) == (0, 0, 0)
    assert text_colour(np.array((0, 0, 255))) == (255, 255, 255)
