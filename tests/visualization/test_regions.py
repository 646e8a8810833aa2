"""Drawing of label maps: colours, borders, names, legends, memory."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbeit3.visualization.drawing import class_colours, draw_regions, draw_segments
from mmbeit3.visualization.placing import place_inside
from mmbeit3.visualization.text import render_text

GREY = np.full((400, 500, 3), 120, np.uint8)
NAMES = ("road", "sky", "a region with a long name")
PALETTE = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
WHITE = np.full(3, 255, np.uint8)


def contains(picture, part):
    windows = np.lib.stride_tricks.sliding_window_view(picture, part.shape)[:, :, 0]
    return bool((windows == part).all((2, 3, 4)).any())


@pytest.mark.parametrize("colours", [None, PALETTE])
def test_colours_borders_names_and_shares(colours):
    labels = np.full((400, 500), 255, np.uint8)
    labels[:, :200] = 1
    labels[:100, 200:300] = 0
    picture = draw_regions(GREY, labels, NAMES, colours, opacity=0.25)
    table = class_colours(3) if colours is None else np.array(PALETTE)
    for label in (0, 1):
        inside = picture[:400][labels == label]
        opaque = (inside == table[label]).all(1)
        blended = (np.abs(inside - (0.75 * 120 + 0.25 * table[label])) <= 1).all(1)
        # The name of the region is the rest.
        assert (opaque | blended).mean() > 0.97
        assert blended.mean() > 0.9
        assert contains(picture[:400], render_text(NAMES[label], 12, table[label]))
    assert (picture[150, 199] == table[1]).all()
    assert (picture[50, 200] == table[0]).all()
    # Pixels without a class stay as they are.
    assert (picture[:400][labels == 255] == 120).all()
    assert contains(picture[400:], render_text("sky 40.0%", 12, WHITE))
    assert contains(picture[400:], render_text("road 5.0%", 12, WHITE))
    assert not (picture == table[2]).all(2).any()
    assert draw_regions(GREY, labels, NAMES, legend=False).shape == GREY.shape


def test_labels_without_a_class():
    many = [str(number) for number in range(300)]
    for kind, value, names in (
        (np.uint8, 255, NAMES),
        (np.int64, -1, NAMES),
        (np.uint16, 65535, many),
        (np.int64, 65535, many),
    ):
        assert np.array_equal(draw_regions(GREY, np.full((400, 500), value, kind), names), GREY)
    assert not np.array_equal(draw_regions(GREY, np.full((400, 500), 255), many, legend=False), GREY)
    assert np.array_equal(draw_regions(GREY, np.full((400, 500), 2), NAMES, ignore_index=2), GREY)
    # A class without a name is shown.
    assert contains(draw_regions(GREY, np.full((400, 500), 7), NAMES), render_text("#7", 12, class_colours(8)[7]))


def test_segments():
    """Segments of one class have one colour, and a line between them."""
    ids = np.zeros((400, 500), np.int32)
    ids[:, 100:200], ids[:, 200:300], ids[:, 300:] = 7, 3, 70000
    infos = [
        SimpleNamespace(id=7, label=1, is_thing=True, score=0.5),
        SimpleNamespace(id=3, label=1, is_thing=True, score=None),
    ]
    infos += [
        SimpleNamespace(id=70000, label=0, is_thing=False, score=None),
        SimpleNamespace(id=9, label=2, is_thing=True, score=None),
    ]
    picture = draw_segments(GREY, ids, infos, ("sky", "cat", "dog"), PALETTE)
    assert (picture[:400, :100] == 120).all()
    assert (picture[10, 199:201] == PALETTE[1]).all()
    assert np.array_equal(picture[10, 150], picture[10, 250])
    assert contains(picture[:400], render_text("cat 0.50", 12, np.array(PALETTE[1])))
    assert contains(picture[:400], render_text("sky", 12, np.array(PALETTE[0])))
    assert contains(picture[400:], render_text("cat (2)", 12, WHITE))
    assert contains(picture[400:], render_text("sky 40.0%", 12, WHITE))
    assert not contains(picture[400:], render_text("dog", 12, WHITE))
    assert np.array_equal(draw_segments(GREY, ids, []), GREY)


def test_small_images_are_enlarged():
    labels = np.zeros((8, 10), int)
    labels[:, 5:] = 1
    picture = draw_regions(np.full((8, 10, 3), 120, np.uint8), labels, NAMES, PALETTE, legend=False)
    assert picture.shape == (320, 400, 3)
    assert (picture[:, 199] == PALETTE[0]).all()
    assert (picture[:, 200] == PALETTE[1]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(60, 80), (700, 900), (1, 300), (500, 3)]))
def test_names_are_inside_of_their_regions(seed, shape):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    seeds = rng.uniform(0, shape, (5, 2))
    nearest = np.argmin([np.hypot(y - row, x - column) for row, column in seeds], axis=0).astype(np.uint16)
    sizes = rng.integers(2, (shape[1] // 3 + 4, shape[0] // 4 + 4), (4, 2))
    positions = place_inside(nearest, lambda index: tuple(sizes[index].tolist()), 4)
    assert 4 not in positions
    for index, (left, top) in positions.items():
        width, height = sizes[index]
        part = nearest[top : top + height, left : left + width]
        assert part.shape == (height, width)
        assert (part == index).all()


def test_memory():
    image = np.zeros((2000, 3000, 3), np.uint8)
    labels = np.zeros((2000, 3000), np.uint8)
    labels[500:, 1000:] = 1
    tracemalloc.start()
    draw_regions(image, labels, NAMES, legend=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The picture, an index of two bytes per pixel, and rows of both.
    assert peak < 1.3 * (image.nbytes + 2 * labels.nbytes)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"label map is int64 \(3, 4\): give ints \(400, 500\)"):
        draw_regions(GREY, np.zeros((3, 4), int))
    with pytest.raises(ValueError, match="label map is float64"):
        draw_segments(GREY, np.zeros((400, 500)), [])
