"""Whole iterations: data, stock types, shared points, and the agreement of the configs' heads with the stock heads."""

import pytest
import torch

from benchmarks.cases import Unavailable
from benchmarks.preset import iteration_step
from benchmarks.preset.context import Context
from benchmarks.preset.heads import MASK2FORMER_GOALS, mask2former, mask_rcnn
from benchmarks.preset.iteration_data import detection_batch, segmentation_batch
from benchmarks.preset.iteration_step import shared_points, stock_types
from benchmarks.settings import Settings

CONTEXT = Context(Settings(threads=1).for_check())


def test_stock_types_replace_those_of_mmbeit3(monkeypatch):
    monkeypatch.setattr(iteration_step, "STOCK", {"mmbeit3.FastHead": "mmdet.Head"})
    config = {"type": "mmbeit3.FastHead", "backbone": {"type": "mmbeit3.ViTAdapter"}, "parts": [{"type": "mmdet.Part"}]}
    found = stock_types(config, keep=("backbone",))
    assert found == {"type": "mmdet.Head", "backbone": {"type": "mmbeit3.ViTAdapter"}, "parts": [{"type": "mmdet.Part"}]}
    with pytest.raises(Unavailable, match=r"no stock counterpart of mmbeit3\.Other"):
        stock_types([{"type": "mmbeit3.Other"}])


def test_shared_points_do_not_depend_on_the_number_of_masks():
    with shared_points():
        one, many, size = torch.rand(1, 50, 2), torch.rand(4, 50, 2), torch.rand((2, 50, 2))
        other, plain = torch.rand(1, 51, 2), torch.rand(50)
    assert torch.equal(one.expand_as(many), many)
    assert torch.equal(one.expand_as(size), size)
    assert not torch.equal(one[0], other[0, :50])
    assert plain.shape == (50,)
    assert torch.rand(2, 3, 2).unique().numel() == 12


def test_batches():
    batch = detection_batch(2, (64, 96), 6)
    for image, sample in zip(batch["inputs"], batch["data_samples"], strict=True):
        assert image.shape == (3, 64, 96)
        objects = sample.gt_instances
        for (left, top, right, bottom), mask in zip(objects.bboxes.int().tolist(), objects.masks.masks, strict=True):
            assert mask.sum() == (right - left) * (bottom - top) > 0
            assert mask[top:bottom, left:right].all()
    labels = segmentation_batch(1, 64, 9)["data_samples"][0].gt_sem_seg.data
    assert labels.shape == (1, 64, 64)
    assert labels.unique().numel() > 3
    assert labels.max() < 9


@pytest.mark.slow
def test_mask2former_with_the_stock_head():
    rows, *figures = mask2former(CONTEXT)
    ours, stock = rows
    assert not ours.note
    assert not stock.note
    assert stock.gradient_deviation < 1e-3
    assert 0 < ours.output_deviation < 0.1
    assert figures[0].value == pytest.approx(ours.median_ms / 1e3)
    assert figures[1].value == pytest.approx(stock.median_ms / ours.median_ms)
    assert [figure.name for figure in figures] == [goal.name for goal in MASK2FORMER_GOALS]


@pytest.mark.slow
def test_mask_rcnn():
    first, second, *figures = mask_rcnn(CONTEXT)
    assert not first[0].note
    assert not second[0].note
    assert figures[-1].value == pytest.approx(second[0].median_ms / first[0].median_ms)
