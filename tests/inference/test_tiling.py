"""Windows of large images, and merging of the objects in them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbeit3.errors import UserError
from mmbeit3.inference.found import FoundObjects
from mmbeit3.inference.masks import Mask
from mmbeit3.inference.tiling import Tiling, Window, merge_objects


@given(st.integers(1, 300), st.integers(1, 300), st.integers(32, 100), st.data())
def test_windows_cover_the_image_and_overlap(height, width, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    windows = Tiling(size, overlap).windows((height, width))
    covered = np.zeros((height, width), int)
    for window in windows:
        assert window.right - window.left == min(size, width)
        assert window.bottom - window.top == min(size, height)
        covered[window.top : window.bottom, window.left : window.right] += 1
    assert covered.min() > 0
    columns = sorted({(window.left, window.right) for window in windows})
    for (_, end), (start, _) in pairwise(columns):
        assert end - start >= overlap
    assert len(columns) == 1 or len(columns) <= (width - overlap - 1) // (size - overlap) + 1


@pytest.mark.parametrize(
    ("size", "overlap", "words"),
    [(64, 64, "from 0 to below the tile's 64 pixels, got 64"), (64, -1, "got -1"), (8, 0, "from 32, got 8"), (64.5, 0, "64.5")],
)
def test_sizes_that_make_no_sense(size, overlap, words):
    with pytest.raises(UserError, match=words):
        Tiling(size, overlap)


def found(*rows):
    """Objects from rows of x1, y1, x2, y2, score, label."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return FoundObjects(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), None)


LEFT, RIGHT, WHOLE = Window(0, 0, 100, 100), Window(60, 0, 160, 100), Window(0, 0, 160, 100)


def merged(*parts):
    result = merge_objects(parts, (100, 160))
    return [(*map(float, box), int(label)) for box, label in zip(result.boxes, result.labels, strict=True)]


def test_one_object_in_two_windows():
    assert merged((LEFT, found((70, 20, 90, 40, 0.8, 0))), (RIGHT, found((10, 20, 30, 40, 0.9, 0)))) == [(70, 20, 90, 40, 0)]


def test_a_complete_box_beats_a_cut_one_with_a_better_score():
    cut, complete = found((80, 20, 100, 40, 0.95, 0)), found((20, 20, 55, 40, 0.6, 0))
    assert merged((LEFT, cut), (RIGHT, complete)) == [(80, 20, 115, 40, 0)]


def test_a_large_object_comes_from_the_whole_image():
    parts = (LEFT, found((10, 10, 100, 90, 0.9, 0))), (RIGHT, found((0, 10, 90, 90, 0.9, 0)))
    assert merged(*parts, (WHOLE, found((10, 10, 150, 90, 0.6, 0)))) == [(10, 10, 150, 90, 0)]


def test_small_objects_in_front_of_large_ones_stay():
    small, large = found((30, 30, 40, 40, 0.7, 0)), found((10, 10, 150, 90, 0.9, 0))
    assert merged((LEFT, small), (WHOLE, large)) == [(10, 10, 150, 90, 0), (30, 30, 40, 40, 0)]


def test_classes_and_objects_of_one_window_are_not_merged():
    same = found((30, 30, 40, 40, 0.9, 0), (31, 30, 40, 40, 0.8, 0))
    assert len(merged((LEFT, same))) == 2
    assert len(merged((LEFT, found((70, 30, 80, 40, 0.9, 0))), (RIGHT, found((10, 30, 20, 40, 0.8, 1))))) == 2


def test_masks_move_with_their_boxes():
    objects = FoundObjects(
        np.array([[10, 20, 30, 40]], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int64),
        (Mask(np.ones((20, 20), bool), 10, 20),),
    )  # fmt: skip
    result = merge_objects([(RIGHT, objects)], (100, 160))
    assert (result.masks[0].left, result.masks[0].top) == (70, 20)
    assert merge_objects([(LEFT, found()), (RIGHT, found())], (100, 160)).boxes.shape == (0, 4)
