"""Corruptions are reproducible, grow with severity, and do not change global state."""

import os

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

from mmbeit3.datasets.corruption import CORRUPTIONS, Corrupt
from mmbeit3.errors import UserError

imagecorruptions = pytest.importorskip("imagecorruptions")


@pytest.fixture(scope="module")
def image():
    """Make an image with coloured blots: uint8 (48, 64, 3)."""
    return cv2.resize(np.random.default_rng(0).integers(30, 220, (11, 13, 3), np.uint8), (64, 48))


def corrupted(image, path="folder/name.jpg", **options):
    return Corrupt(**options)({"img": image.copy(), "img_path": path})["img"]


def test_the_librarys_own_list():
    assert tuple(imagecorruptions.get_corruption_names()) == CORRUPTIONS


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_repeatable_and_growing(image, corruption):
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    first = corrupted(image, corruption=corruption, severity=3)
    assert np.array_equal(np.random.get_state()[1], state)
    np.random.seed(2)
    assert np.array_equal(corrupted(image, "elsewhere/name.jpg", corruption=corruption, severity=3), first)
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    weak, strong = (
        np.abs(corrupted(image, corruption=corruption, severity=severity) - image.astype(float)).mean() for severity in (1, 5)
    )
    assert weak > 0
    # Frost is another picture at each severity.
    assert strong > weak or corruption == "frost"


def test_images_and_seeds_differ(image):
    options = {"corruption": "impulse_noise", "severity": 2}
    first = corrupted(image, **options)
    assert not np.array_equal(corrupted(image, "folder/other.jpg", **options), first)
    assert not np.array_equal(corrupted(image, seed=1, **options), first)


def test_a_name_that_is_not_utf8(image):
    assert corrupted(image, os.fsdecode(b"caf\xe9.jpg"), corruption="shot_noise").shape == image.shape


def test_the_library_sees_rgb(image):
    # Frost is bluish: the last channel of RGB, the first of the BGR that pipelines hold.
    grey = np.full((64, 64, 3), 60, np.uint8)
    frosted = corrupted(grey, corruption="frost", severity=5).astype(float).mean((0, 1))
    assert frosted[0] > frosted[2]


def test_two_images(image):
    both = Corrupt("fog", 2)({"img": [image, image], "img_path": ["a.jpg", "b.jpg"]})["img"]
    assert np.array_equal(both[0], corrupted(image, "a.jpg", corruption="fog", severity=2))
    assert not np.array_equal(both[0], both[1])


def test_from_a_config(image):
    step = TRANSFORMS.build({"type": "mmbeit3.Corrupt", "corruption": "contrast", "severity": 4})
    assert step({"img": image, "img_path": "a"})["img"].std() < image.std()


@pytest.mark.parametrize(("corruption", "severity"), [("rain", 1), ("fog", 0), ("fog", 6)])
def test_unknown(corruption, severity):
    with pytest.raises(UserError, match=f"'{corruption}' of severity {severity} is unknown"):
        Corrupt(corruption, severity)


def test_too_small():
    with pytest.raises(UserError, match=r"'a\.jpg' is 40 x 31: corruptions need sides of at least 32 pixels"):
        corrupted(np.zeros((31, 40, 3), np.uint8), "a.jpg", corruption="fog")
