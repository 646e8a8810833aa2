"""Image arguments of the inferencers."""

from pathlib import Path

import numpy as np
import pytest

from mmbeit3.errors import UserError
from mmbeit3.inference.images import is_folder, list_images, name_image


def test_lists(images, tmp_path):
    array = np.zeros((4, 4, 3), np.uint8)
    folder = images[0].parent
    assert list_images(folder) == list_images(str(folder)) == images
    assert list_images(images[0]) == [images[0]]
    assert list_images(array)[0] is array
    assert list_images((str(images[0]), images[1])) == [str(images[0]), images[1]]
    assert list_images("http://host/folder/") == ["http://host/folder/"]
    with pytest.raises(UserError, match="list of images is empty"):
        list_images([])
    with pytest.raises(UserError, match="has no images"):
        list_images(tmp_path)


def test_names(images):
    assert [name_image(image) for image in (images[0], "a.png", np.zeros(3))] == [str(images[0]), "a.png", None]


def test_what_is_a_folder(images):
    assert is_folder(images[0].parent)
    for other in (images[0], Path("absent"), "http://host/", "a" * 5000, np.zeros(3), [images[0].parent]):
        assert not is_folder(other)
