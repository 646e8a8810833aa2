"""Sizes of pictures, and positions of images and text in them."""

import os

import cv2
import numpy as np
import pytest

from mmbeit3.errors import UserError
from mmbeit3.inference.drawing import draw_with_text, make_folder, write_picture

RED = np.full((40, 80, 3), (0, 0, 255), np.uint8)


def test_image_above_text():
    picture = draw_with_text([RED], ["a red image"])
    assert picture.shape == (384 + 16 + 20, 768, 3)
    assert picture.dtype == np.uint8
    assert (picture[:384] == (255, 0, 0)).all()
    text = picture[384:].min(axis=2)
    assert text.min() == 0
    assert np.array_equal(draw_with_text([RED], ["a red image"]), picture)
    assert not np.array_equal(draw_with_text([RED], ["a big image"]), picture)


def test_images_in_a_row():
    picture = draw_with_text([RED, RED.transpose(1, 0, 2)[..., ::-1].copy()], [], height=100)
    assert picture.shape == (116, 320, 3)
    assert (picture[:100, :200] == (255, 0, 0)).all()
    assert (picture[:100, 204:254] == (0, 0, 255)).all()
    assert (picture[:, 254:] == 255).all()


def test_long_lines_are_wrapped():
    one = draw_with_text([RED], ["word"], height=100)
    assert one.shape[1] == 320
    many = draw_with_text([RED], ["word " * 40, "x" * 100], height=100)
    lines = (many.shape[0] - 116) // 20
    assert lines > 8
    margin = many[100:, -8:]
    assert (margin == 255).all()


@pytest.mark.parametrize("size", [(1, 9000), (9000, 1), (1, 1)])
def test_extreme_shapes(size):
    picture = draw_with_text([np.zeros((*size, 3), np.uint8)], ["a"], height=100)
    assert picture.shape[0] == 136
    assert 320 <= picture.shape[1] <= 1024


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    picture = draw_with_text([RED], [name, f"0.5 {name}"], height=100)
    assert np.array_equal(picture, draw_with_text([RED], ["caf?", "0.5 caf?"], height=100))
    write_picture(make_folder(tmp_path / name), 0, f"{name}.png", picture)
    assert [path.name for path in (tmp_path / name).iterdir()] == ["00000_caf_.jpg"]


def test_pictures_are_written(tmp_path):
    folder = make_folder(tmp_path / "a" / "b")
    picture = draw_with_text([RED], ["a"])
    for name in ("dir/cat ü.png", "http://host/x.jpg?size=3/..", "is it so?\n" * 20, None):
        write_picture(folder, 3, name, picture)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 4
    assert {"00003_cat_ü.jpg", "00003_image.jpg"} <= set(names)
    read = cv2.imread(str(folder / "00003_image.jpg"))[..., ::-1]
    assert read.shape == picture.shape
    assert np.abs(read[:300].astype(int) - picture[:300]).max() < 8
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"' cannot be written"):
        write_picture(tmp_path / "file", 0, None, picture)
    with pytest.raises(UserError, match=r"folder .*file' for pictures cannot be created: File exists"):
        make_folder(tmp_path / "file")
