"""Drawing of objects: colours, what is drawn where, labels, legends, memory."""

import tracemalloc
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmbeit3.visualization.drawing import class_colours, draw_objects, with_titles
from mmbeit3.visualization.placing import place_beside
from mmbeit3.visualization.text import class_name, render_text, shorten, text_size

GREY = np.full((400, 500, 3), 120, np.uint8)
NAMES = ("cat", "dog", "bird")
PALETTE = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]


def disc(radius, left, top):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return SimpleNamespace(pixels=x**2 + y**2 <= radius**2, left=left, top=top)


def where(picture, colour):
    return (picture == np.asarray(colour)).all(2)


@pytest.mark.parametrize("colours", [None, PALETTE])
@pytest.mark.parametrize("scores", [None, np.array([0.5, 0.9])])
def test_one_colour_per_class(colours, scores):
    """Box, outline of the mask, label and legend have the same colour, in ground truth and in predictions."""
    boxes = np.array([(50, 60, 151, 161), (300, 200, 401, 301)])
    masks = [disc(50, 50, 60), disc(50, 300, 200)]
    picture = draw_objects(GREY, boxes, np.array([2, 0]), scores, masks, NAMES, colours, legend=True)
    expected = class_colours(3) if colours is None else np.array(PALETTE)
    assert picture.shape[0] > 400
    for (left, top, right, bottom), mask, label in zip(boxes, masks, (2, 0), strict=True):
        drawn = where(picture, expected[label])
        for edge in (
            drawn[top, left:right],
            drawn[bottom - 1, left:right],
            drawn[top:bottom, left],
            drawn[top:bottom, right - 1],
        ):
            assert edge.all()
        middle = top + 50
        # Outermost pixels of the mask, on both sides of its middle.
        assert drawn[middle, mask.left]
        assert drawn[middle, mask.left + 100]
        # The mask blends with the image.
        blended = np.round(0.5 * 120 + 0.5 * expected[label])
        assert np.array_equal(picture[middle, left + 50], blended)
        assert drawn[400:].any()
        label_pixels = drawn[top - 20 : top]
        assert label_pixels.sum() > 200
        if scores is None:
            assert np.array_equal(
                picture[top - text_size("x", 12)[1] : top, left : left + text_size(NAMES[label], 12)[0]],
                render_text(NAMES[label], 12, expected[label]),
            )
    assert not where(picture, expected[1]).any()


def test_nothing_else_changes():
    image = np.random.default_rng(0).integers(0, 256, (400, 500, 3)).astype(np.uint8)
    before = image.copy()
    mask = disc(40, 100, 150)
    picture = draw_objects(image, np.array([(100, 150, 181, 231)]), np.array([0]), None, [mask], NAMES)
    assert np.array_equal(image, before)
    assert picture.shape == image.shape
    touched = np.zeros(image.shape[:2], bool)
    touched[150:231, 100:181] = mask.pixels
    touched[150:231, [100, 180]] = touched[[150, 230], 100:181] = True
    width, height = text_size("cat", 12)
    touched[150 - height : 150, 100 : 100 + width] = True
    assert np.array_equal(picture[~touched], image[~touched])
    assert (picture[touched] != image[touched]).any(1).mean() > 0.9


def test_small_images_are_enlarged():
    image = np.random.default_rng(0).integers(0, 256, (32, 24, 3)).astype(np.uint8)
    mask = SimpleNamespace(pixels=np.ones((4, 6), bool), left=3, top=20)
    picture = draw_objects(image, np.array([(3, 20, 9, 24)]), np.array([1]), None, [mask], NAMES, PALETTE)
    assert picture.shape == (13 * 32, 13 * 24, 3)
    drawn = where(picture, PALETTE[1])
    rows, columns = np.nonzero(drawn[13 * 20 :])
    assert (columns.min(), columns.max(), rows.max()) == (13 * 3, 13 * 9 - 1, 13 * 4 - 1)
    enlarged = cv2.resize(image, (13 * 24, 13 * 32), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(picture[13 * 24 :], enlarged[13 * 24 :])
    assert draw_objects(image, np.zeros((0, 4)), np.zeros(0, int), min_side=0).shape == image.shape


numbers = st.one_of(st.floats(-50, 250), st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0, 90.0, 120.0]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), max_size=8), st.booleans())
@example([(120.0, 90.0, 120.0, 90.0)], True)
@example([(0.0, 0.0, 0.0, 0.0)], True)
@example([(-9.0, -9.0, -1.0, -1.0)], True)
def test_any_boxes(boxes, scored):
    """Boxes may be outside of the image, have no area, or swapped corners."""
    image = np.full((90, 120, 3), 120, np.uint8)
    array = np.array(boxes, float).reshape(-1, 4)
    scores = np.linspace(0, 1, len(boxes)) if scored else None
    picture = draw_objects(image, array, np.arange(len(boxes)), scores, legend=False, min_side=0)
    assert picture.shape == image.shape
    low, high = np.minimum(array[:, :2], array[:, 2:]), np.maximum(array[:, :2], array[:, 2:])
    inside = np.isfinite(array).all(1) & (low < (120, 90)).all(1) & (high >= 0).all(1)
    assert (picture == image).all() == (not inside.any())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_labels_stay_inside_and_do_not_hide_each_other(seed, count):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, (290, 190), (count, 2))
    boxes = np.concatenate([low, np.minimum(low + rng.integers(1, 150, (count, 2)), (300, 200))], axis=1)
    sizes = rng.integers(5, (80, 30), (count, 2))
    positions = place_beside(boxes, sizes, (200, 300), range(count))
    free = np.ones((200, 300), bool)
    for (left, top, right, bottom), (width, height), position in zip(boxes, sizes, positions, strict=True):
        if position is None:
            continue
        x, y = position
        assert 0 <= x <= 300 - width
        assert 0 <= y <= 200 - height
        # It touches its box.
        assert left - width <= x <= right
        assert top - height <= y <= bottom
        # At most 30 % of it are covered by labels that were placed before.
        assert free[y : y + height, x : x + width].mean() >= 0.69
        free[y : y + height, x : x + width] = False
    if count == 1:
        assert positions[0] is not None


def test_many_objects_have_a_legend_instead_of_labels():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, (480, 380), (300, 2))
    boxes = np.concatenate([corners, corners + 12], axis=1)
    labels = np.arange(300) % 3 // 2
    masks = [disc(6, x, y) for x, y in corners]
    plain = draw_objects(GREY, boxes, labels, masks=masks, classes=NAMES, colours=PALETTE, legend=False)
    picture = draw_objects(GREY, boxes, labels, masks=masks, classes=NAMES, colours=PALETTE)
    assert plain.shape == GREY.shape
    assert np.array_equal(picture[:400], plain)
    legend = picture[400:]
    # The most frequent class comes first.
    assert np.nonzero(where(legend, PALETTE[0]))[1].max() < np.nonzero(where(legend, PALETTE[1]))[1].min()
    text = render_text("cat (200)", 12, np.full(3, 255, np.uint8))
    windows = np.lib.stride_tricks.sliding_window_view(legend, text.shape)[:, :, 0]
    assert (windows == text).all((2, 3, 4)).any()
    # No boxes beside masks, and no labels.
    assert not (where(plain, (0, 0, 0)) | where(plain, (255, 255, 255))).any()


def test_memory():
    """A hundred masks need little beyond the picture, which is a copy of the image."""
    image = np.zeros((2000, 3000, 3), np.uint8)
    rng = np.random.default_rng(0)
    corners = rng.integers(0, (2400, 1400), (100, 2))
    mask = disc(300, 0, 0).pixels
    masks = [SimpleNamespace(pixels=mask, left=int(x), top=int(y)) for x, y in corners]
    tracemalloc.start()
    draw_objects(image, np.concatenate([corners, corners + 601], axis=1), np.arange(100) % 5, None, masks, NAMES, legend=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * image.nbytes


def test_names():
    assert class_name(NAMES, 1) == "dog"
    assert class_name(NAMES, 7) == class_name((), 7) == "#7"
    assert class_name(["US$ and A$", "naïve", "two\nlines", ""], 0) == "US$ and A$"
    assert class_name(["a", "two\nlines"], 1) == "two lines"
    assert class_name([""], 0) == "#0"
    assert class_name(["\udce9"], 0) == "?"


def test_a_name_that_no_font_can_draw_is_a_number(caplog):
    letter = chr(0x10FFFD)
    assert class_name(["a", f"b{letter}"], 1) == "#1"
    assert "no installed font has all letters of class name" in caplog.text


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(max_codepoint=0x500), max_size=60), st.integers(9, 40), st.integers(60, 400))
def test_long_names_are_cut(name, size, width):
    cut = shorten(name, size, width, " 0.87")
    assert cut.endswith(" 0.87")
    # The end and the dots remain also if they are wider.
    assert text_size(cut, size)[0] <= max(width, text_size("… 0.87", size)[0])
    if text_size(f"{name} 0.87", size)[0] <= width:
        assert cut == f"{name} 0.87"
    assert render_text(cut, size, np.zeros(3, np.uint8)).shape[:2] == text_size(cut, size)[::-1]


def test_wrong_arguments():
    boxes = np.zeros((2, 4))
    with pytest.raises(ValueError, match="1 labels for 2 boxes"):
        draw_objects(GREY, boxes, np.zeros(1))
    with pytest.raises(ValueError, match="1 masks for 2 boxes"):
        draw_objects(GREY, boxes, np.zeros(2), masks=[disc(2, 0, 0)])
    for image in (GREY[..., 0], GREY.astype(float), GREY[:0]):
        with pytest.raises(ValueError, match=r"give uint8 \(H, W, 3\)"):
            draw_objects(image, boxes, np.zeros(2))


def test_columns_with_titles():
    small, large = np.full((20, 30, 3), 7, np.uint8), np.full((50, 90, 3), 9, np.uint8)
    sheet = with_titles([[small, large], [large]], ["image", "a title that is much too long for its column"], gap=5)
    title = text_size("image", 12)[1]
    assert sheet.shape == (title + 5 + 5 + 50 + 5 + 50 + 5, 5 + 90 + 5 + 90 + 5, 3)
    assert (sheet[title + 10 :][:50, 100:190] == 9).all()
    assert np.count_nonzero((sheet[title + 10 :] == 7).all(2)) == small.shape[0] * small.shape[1]
    for left in (5, 100):
        assert (sheet[5 : 5 + title, left : left + 90] == 0).any()
    assert (sheet[: title + 10, 95:100] == 255).all()
    assert with_titles([[small]]).shape == (36, 46, 3)
    with pytest.raises(ValueError, match="1 titles for 2 columns"):
        with_titles([[small], [large]], ["a"])
    with pytest.raises(ValueError, match="no pictures"):
        with_titles([[], []])
