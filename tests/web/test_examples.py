"""Examples: copies of a folder's images, rendered images, and the values that a click fills in."""

import re

import cv2
import numpy as np
import pytest

from mmbeit3.errors import UserError
from mmbeit3.images import read_image
from mmbeit3.web.examples import ExampleImages, choose_examples, example_rows
from mmbeit3.web.tab import Field, Tab


@pytest.fixture
def folder(tmp_path):
    """Folder with 11 images of 30 x 600 pixels, the fourth broken."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(11):
        cv2.imwrite(str(folder / f"{number:02}.png"), np.full((30, 600, 3), 20 * number, np.uint8))
    (folder / "03.png").write_text("no image")
    return folder


@pytest.fixture
def into(tmp_path):
    target = tmp_path / "copies"
    target.mkdir()
    return target


def test_copies_are_spread_over_the_folder(folder, into):
    made = ExampleImages.from_folder(folder, into)
    assert [path.name for path in made.images] == ["1_00.png", "2_02.png", "3_04.png", "4_06.png", "5_08.png", "6_10.png"]
    assert all(path.parent == into for path in (*made.images, *made.thumbnails))
    assert made.images[1].read_bytes() == (folder / "02.png").read_bytes()
    assert read_image(made.thumbnails[1]).shape == (13, 256, 3)
    assert abs(read_image(made.thumbnails[1]).astype(int) - 40).max() < 3
    assert not made.are_shapes


def test_broken_files_are_replaced_by_others(folder, into):
    for number in (0, 2, 4):
        (folder / f"{number:02}.png").write_text("no image")
    made = ExampleImages.from_folder(folder, into)
    assert sorted(path.name[2:] for path in made.images) == ["01.png", "05.png", "06.png", "07.png", "08.png", "10.png"]


def test_shapes_are_recognised(folder, into):
    (folder.parent / "shapes.json").write_text("{}")
    assert ExampleImages.from_folder(folder, into).are_shapes


def test_folders_that_are_refused(folder, into):
    with pytest.raises(UserError, match="folder 'nowhere' does not exist"):
        ExampleImages.from_folder("nowhere", into)
    for path in folder.iterdir():
        path.write_text("no image")
    with pytest.raises(UserError, match=re.escape(f"folder '{folder}' has no image that can be read, first error: image")):
        ExampleImages.from_folder(folder, into)


def test_rendered(into):
    made = ExampleImages.rendered(into)
    assert len(made.images) == 6
    assert made.are_shapes
    assert {read_image(path).shape for path in made.images} == {(256, 256, 3)}
    assert len({read_image(path).tobytes() for path in made.images}) == 6


def make_tab(inputs=(), folder=None):
    return Tab("", "", "", inputs, (), lambda: None, lambda _: (), folder=folder)


def test_each_tab_has_images_of_its_model(folder, into, tmp_path):
    own, none, same = choose_examples([make_tab(folder=folder), make_tab(), make_tab(folder=folder)], None, into)
    assert own.images[0].name == "1_00.png"
    assert none.images[0].name == "shapes_1.png"
    assert same is own
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes((folder / "00.png").read_bytes())
    into = tmp_path / "more"
    into.mkdir()
    first, second = choose_examples([make_tab(folder=folder), make_tab()], other, into)
    assert first is second
    assert [path.name for path in first.images] == ["1_a.png"]


def rows(inputs, into):
    return example_rows(make_tab(inputs), ExampleImages.rendered(into))


IMAGE = Field("image", "Image")
TEXT = Field("text", "Text", examples=("photo",), examples_of_shapes=("one", "two"))


def test_rows_of_an_image_and_a_setting(into):
    values, shown = rows((IMAGE, Field("fraction", "Score", 0.5)), into)
    assert values == [[str(into / f"shapes_{number}.png"), 0.5] for number in range(1, 7)]
    assert shown == [[str(into / f"thumbnail_{number}.jpg")] for number in range(1, 7)]


def test_rows_of_pairs_with_texts(into):
    values, shown = rows((IMAGE, IMAGE, TEXT), into)
    assert [[value.rpartition("_")[2] for value in row] for row in values] == [
        ["1.png", "2.png", "one"],
        ["3.png", "4.png", "two"],
        ["5.png", "6.png", "one"],
    ]
    assert [row[2] for row in shown] == ["one", "two", "one"]


def test_rows_of_texts_alone(into):
    values, shown = rows((TEXT, Field("image", "or", optional=True), Field("count", "Count", 6)), into)
    assert values == [["one", None, 6], ["two", None, 6]]
    assert shown == [["one"], ["two"]]
    assert rows((Field("text", "Text"),), into) == ([], [])
