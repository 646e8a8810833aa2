"""Masks as crops: the pixels are those of mmdet's pasting, the encoding is pycocotools'."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from mmbeit3.inference import masks
from mmbeit3.inference.masks import Mask, crop_mask, paste_mask, row_bands

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(sizes.flatmap(lambda size: arrays(bool, size)))
def test_encoding_is_that_of_pycocotools(pixels):
    expected = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert crop_mask(pixels).rle(pixels.shape) == {"size": list(pixels.shape), "counts": expected["counts"].decode()}
    assert np.array_equal(crop_mask(pixels).full(pixels.shape), pixels)
    assert crop_mask(pixels).area == pixels.sum()
    moved = np.pad(pixels, ((3, 2), (1, 4)))
    assert np.array_equal(crop_mask(pixels, left=1, top=3).full(moved.shape), moved)


def test_a_crop_is_as_small_as_possible():
    pixels = np.zeros((9, 9), bool)
    pixels[2, 3:7] = True
    mask = crop_mask(pixels, 10, 20)
    assert (mask.left, mask.top, mask.pixels.shape) == (13, 22, (1, 4))
    assert crop_mask(np.zeros((4, 4), bool)).pixels.shape == (0, 0)


coordinates = st.floats(-20, 80, width=32)


@given(st.tuples(coordinates, coordinates, coordinates, coordinates), st.integers(0, 99), st.sampled_from([0.3, 0.5]))
def test_pasting_is_that_of_mmdet(corners, seed, threshold):
    paste = pytest.importorskip("mmdet.models.roi_heads.mask_heads.fcn_mask_head")._do_paste_mask
    x1, y1, x2, y2 = corners
    box = torch.tensor([min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)])
    values = torch.rand(7, 7, generator=torch.Generator().manual_seed(seed))
    expected = np.zeros((40, 60), bool)
    if box[2] > -1 and box[3] > -1 and box[0] < 61 and box[1] < 41:  # else mmdet fails for an empty region
        found, region = paste(values[None, None], box[None], 40, 60, skip_empty=True)
        expected[region] = (found[0] >= threshold).numpy()
    assert np.array_equal(paste_mask(values, box, (40, 60), threshold).full((40, 60)), expected)


def test_bands_do_not_change_the_pixels(monkeypatch):
    values, box = torch.rand(14, 14), torch.tensor([3.2, 4.7, 91.0, 70.5])
    whole = paste_mask(values, box, (100, 120), 0.5).full((100, 120))
    monkeypatch.setattr(masks, "_BAND_PIXELS", 700)
    assert np.array_equal(paste_mask(values, box, (100, 120), 0.5).full((100, 120)), whole)
    bands = list(row_bands(100, 120))
    assert (bands[0], bands[-1][1], len(bands)) == ((0, 5), 100, 20)


def test_masks_compare_by_identity():
    pixels = np.ones((2, 2), bool)
    assert Mask(pixels, 0, 0) != Mask(pixels, 0, 0)
