"""Renderer of one scene: textured background regions with shapes on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from mmbeit3.datasets.shapes.classes import CROWDED_CLASS, STUFF_CLASSES, THING_CLASSES

__all__ = ["STYLES", "Scene", "SceneObject", "Style", "render_scene"]

_MAX_RADIUS = 0.28
"""Largest radius of a thing, in shares of the image's side."""
_MIN_VISIBLE = 30
"""Smallest number of visible pixels of an object. Objects with fewer are neither drawn nor annotated."""


@dataclass(frozen=True)
class Style:
    """Difficulty of the scenes.

    Attributes:
        hue_spread: standard deviation of the hues of a class, in units of the hue distance between classes.
        min_saturation, min_value: smallest saturation and value (HSV) of things' colours, 0 to 1.
        min_radius: smallest radius of things, in shares of the image's side; the largest is 0.28.
        contrast: factor on the contrast of background textures.
        grey: True for a background without colours.
    """

    hue_spread: float = 0.4
    min_saturation: float = 0.4
    min_value: float = 0.35
    min_radius: float = 0.09
    contrast: float = 1.0
    grey: bool = False


STYLES = {
    # One thing in five has a hue that is closer to another class.
    "busy": Style(),
    # One thing in twenty. For networks without convolutions, which learn slowly on coloured textures.
    "plain": Style(hue_spread=0.25, min_saturation=0.7, min_value=0.6, min_radius=0.12, contrast=0.5, grey=True),
}


@dataclass
class SceneObject:
    """Thing in a scene.

    Attributes:
        name: class of the thing.
        mask: boolean (H, W), its visible pixels.
        crowd: True for a cluster of many things.
    """

    name: str
    mask: np.ndarray
    crowd: bool = False

    @cached_property
    def centre(self) -> np.ndarray:
        """Mean (y, x) of the visible pixels. It is cached, so read it only after the scene is finished."""
        return np.argwhere(self.mask).mean(axis=0)


@dataclass
class Scene:
    """Rendered scene.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        objects: things, later ones in front of earlier ones. Their masks do not overlap.
        stuff: int (H, W), index of each pixel's background in :data:`~mmbeit3.datasets.shapes.classes.STUFF_CLASSES`.
    """

    image: np.ndarray
    objects: list[SceneObject]
    stuff: np.ndarray


def render_scene(rng: np.random.Generator, size: int, style: str = "busy", crowd_rate: float = 0.15) -> Scene:
    """Draw a random scene. A thing's hue depends on its class but overlaps with other classes; its shape is unambiguous.

    Args:
        rng: generator of all random choices.
        size: height and width in pixels, at least 64.
        style: one of :data:`STYLES`.
        crowd_rate: probability of a crowd, 0 to 1.

    Returns:
        The scene.
    """
    look = STYLES[style]
    stuff = _regions(rng, size)
    image: np.ndarray = np.zeros((size, size, 3), np.float32)
    for index, name in enumerate(STUFF_CLASSES):
        if (region := stuff == index).any():
            image[region] = _texture(rng, name, size, look)[region]

    objects: list[SceneObject] = []
    if rng.random() < crowd_rate:
        _add(rng, image, objects, look, SceneObject(CROWDED_CLASS, _crowd_mask(rng, size), crowd=True))
    for _ in range(rng.integers(1, 5)):
        name = THING_CLASSES[rng.integers(len(THING_CLASSES))]
        radius = size * (look.min_radius + (_MAX_RADIUS - look.min_radius) * rng.random())
        centre = rng.uniform(0.6 * radius, size - 0.6 * radius, 2)
        _add(rng, image, objects, look, SceneObject(name, _shape_mask(name, size, centre, radius, rng.uniform(-15, 15))))
    image = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
    return Scene(image, objects, stuff)


def _add(rng: np.random.Generator, image: np.ndarray, objects: list[SceneObject], look: Style, new: SceneObject) -> None:
    """Draw an object over the scene, unless it would hide most of another one."""
    if any((old.mask & ~new.mask).sum() < max(_MIN_VISIBLE, old.mask.sum() // 3) for old in objects):
        return
    if new.mask.sum() < _MIN_VISIBLE:
        return
    for old in objects:
        old.mask &= ~new.mask
    objects.append(new)
    mask = new.mask.astype(np.uint8)
    colour = _colour(rng, new.name, image[new.mask].mean(axis=0), look)
    shade = 1 + 0.15 * np.sin(np.linspace(0, rng.uniform(1, 6), image.shape[1]))[None, :, None]
    image[new.mask] = (colour * np.broadcast_to(shade, image.shape))[new.mask]
    edge = mask - cv2.erode(mask, np.ones((3, 3), np.uint8), borderValue=1)
    image[edge.astype(bool)] *= 0.45


def _colour(rng: np.random.Generator, name: str, behind: np.ndarray, look: Style) -> np.ndarray:
    """Draw an RGB colour of a class that differs from the background, with at most ten attempts."""
    spacing = 360 / len(THING_CLASSES)
    for _ in range(10):
        hue = rng.normal(spacing * THING_CLASSES.index(name), look.hue_spread * spacing) % 360
        hsv = np.array([[[hue, rng.uniform(look.min_saturation, 1), rng.uniform(look.min_value, 1)]]], np.float32)
        colour = 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
        if np.abs(colour - behind).mean() >= 50:
            break
    return colour


def _regions(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw one background region, or two divided by a slanted line."""
    first, second = rng.permutation(len(STUFF_CLASSES))[:2]
    stuff = np.full((size, size), first)
    if rng.random() < 0.6:
        y, x = np.mgrid[:size, :size] / size
        angle = rng.uniform(0, 2 * np.pi)
        stuff[(x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) > rng.uniform(-0.25, 0.25)] = second
    return stuff


def _texture(rng: np.random.Generator, name: str, size: int, look: Style) -> np.ndarray:
    dark = rng.uniform(40, 140, 3)
    light = dark + look.contrast * rng.uniform(35, 80) * np.sign(rng.uniform(-0.3, 1, 3))
    if look.grey:
        dark, light = np.full(3, dark.mean()), np.full(3, light.mean())
    y, x = np.mgrid[:size, :size].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), size * rng.uniform(0.07, 0.12)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if name == "stripes":
        blend = np.sin(2 * np.pi * along / period) > 0
    elif name == "checks":
        blend = (np.sin(2 * np.pi * along / period) > 0) ^ (np.sin(2 * np.pi * across / period) > 0)
    else:
        cells = rng.random((6, 6)).astype(np.float32)
        blend = np.clip(cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)
    return dark + (light - dark) * np.asarray(blend, np.float32)[..., None]


def _crowd_mask(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw the mask of a cluster of many small circles."""
    mask = np.zeros((size, size), bool)
    centre = rng.uniform(0.25 * size, 0.75 * size, 2)
    for _ in range(rng.integers(10, 16)):
        place = np.clip(centre + rng.normal(0, 0.1 * size, 2), 6, size - 6)
        mask |= _shape_mask(CROWDED_CLASS, size, place, size * rng.uniform(0.022, 0.035), 0)
    return mask


def _shape_mask(name: str, size: int, centre: np.ndarray, radius: float, angle: float) -> np.ndarray:
    """Draw the mask of one shape, boolean (size, size).

    Args:
        name: class of the shape.
        size: side of the image in pixels.
        centre: (x, y) in pixels.
        radius: radius of the circumscribed circle in pixels.
        angle: rotation in degrees.
    """
    mask = np.zeros((size, size), np.uint8)
    if name in ("circle", "crescent"):
        cv2.circle(mask, _fixed(centre), int(16 * radius), 1, -1, cv2.LINE_8, shift=4)
        if name == "crescent":
            bite = centre + 0.55 * radius * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
            cv2.circle(mask, _fixed(bite), int(16 * 0.8 * radius), 0, -1, cv2.LINE_8, shift=4)
        return mask.astype(bool)
    corners = _corners(name, angle) * radius + centre
    cv2.fillPoly(mask, [np.round(16 * corners).astype(np.int32)], 1, cv2.LINE_8, shift=4)
    return mask.astype(bool)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    """Convert a point to OpenCV's fixed-point coordinates in 1/16 pixel (``shift=4``)."""
    x, y = np.round(16 * point).astype(int)
    return int(x), int(y)


def _corners(name: str, angle: float) -> np.ndarray:
    """Return the corners (N, 2) of a polygon in the unit circle, rotated by an angle in degrees."""
    if name == "cross":
        arm = 0.3
        quarter = np.array([[1, -arm], [1, arm], [arm, arm]])
        turns = [_rotation(90 * k) for k in range(4)]
        corners = np.concatenate([quarter @ turn.T for turn in turns])
    else:
        count = {"square": 4, "triangle": 3, "star": 10}[name]
        angles = 2 * np.pi * np.arange(count) / count
        radii = np.where(np.arange(count) % 2, 0.45, 1.0) if name == "star" else np.ones(count)
        corners = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return corners @ _rotation(angle).T


def _rotation(angle: float) -> np.ndarray:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[c, -s], [s, c]])
