"""Instances and panoptic segments of queries: equal to mmdet's fusion head, which resizes all masks."""

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")

from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch.nn import functional as F

from mmbeit3.inference.found import FoundObjects
from mmbeit3.inference.instances import convert_panoptic
from mmbeit3.inference.queries import fuse_queries

THINGS, STUFF = 3, 2


def outputs(seed, queries=20, blobs=True):
    """Logits of classes and of masks, smooth enough that queries win areas."""
    random = torch.Generator().manual_seed(seed)
    classes = 4 * torch.randn(1, queries, THINGS + STUFF + 1, generator=random)
    masks = F.interpolate(4 * torch.randn(1, queries, 6, 8, generator=random), (12, 16), mode="bicubic")
    return classes, masks if blobs else masks - 30


def samples():
    sample = DetDataSample()
    sample.set_metainfo({"img_shape": (40, 56), "batch_input_shape": (48, 64), "ori_shape": (75, 110)})
    return [sample]


def head(**options):
    return MaskFormerFusionHead(THINGS, STUFF, test_cfg=ConfigDict(max_per_image=30, **options))


def mmdets(fusion, classes, masks):
    upsampled = F.interpolate(masks, (48, 64), mode="bilinear", align_corners=False)
    return fusion.predict(classes, upsampled, samples(), rescale=True)[0]


@pytest.mark.parametrize("seed", range(4))
def test_instances(seed):
    fusion = head(panoptic_on=False, instance_on=True)
    classes, masks = outputs(seed)
    expected = mmdets(fusion, classes, masks)["ins_results"]
    for score in (0.0, 0.4):
        (objects,) = fuse_queries(fusion, score, classes, masks, samples(), rescale=True)
        order = torch.argsort(-expected.scores, stable=True)
        order = order[(expected.scores[order] >= score) & expected.masks[order].flatten(1).any(1)]
        assert len(objects.boxes) == len(order) > 5
        np.testing.assert_allclose(objects.scores, expected.scores[order], rtol=1e-5)
        # Scores that differ in the last bit may be sorted differently.
        rows = zip(expected.labels[order].tolist(), expected.bboxes[order].tolist(), expected.masks[order], strict=True)
        wanted = sorted((label, box, mask.numpy().tobytes()) for label, box, mask in rows)
        rows = zip(objects.labels.tolist(), objects.boxes.tolist(), objects.masks, strict=True)
        assert sorted((label, box, mask.full((75, 110)).tobytes()) for label, box, mask in rows) == wanted


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_panoptic(seed, low):
    fusion = head(panoptic_on=True, object_mask_thr=0.5, iou_thr=0.15, filter_low_score=low)
    classes, masks = outputs(seed)
    expected = mmdets(fusion, classes, masks)["pan_results"].sem_seg[0].numpy()
    (segments,) = fuse_queries(fusion, 0.0, classes, masks, samples(), rescale=True)
    assert len(segments.labels) > 2
    codes = {code: (expected == code) for code in np.unique(expected) if code % 1000 < THINGS + STUFF}
    assert len(codes) == len(segments.labels)
    for number, (label, thing) in enumerate(zip(segments.labels, segments.things, strict=True), 1):
        (code,) = [code for code, mask in codes.items() if np.array_equal(mask, segments.ids == number)]
        assert (code % 1000, code >= 1000) == (label, thing)
    assert all(0.5 < score <= 1 for score in segments.scores)
    again = convert_panoptic(torch.from_numpy(expected), THINGS, THINGS + STUFF)
    assert sorted(again.labels) == sorted(segments.labels)
    assert np.array_equal(again.ids > 0, segments.ids > 0)


def test_nothing_found():
    classes, masks = outputs(0, blobs=False)
    for options, score in (({"panoptic_on": True, "object_mask_thr": 0.0}, 0.0), ({"panoptic_on": False}, 0.999999)):
        (result,) = fuse_queries(head(**options), score, classes, masks, samples(), rescale=True)
        assert len(result.boxes if isinstance(result, FoundObjects) else result.labels) == 0
