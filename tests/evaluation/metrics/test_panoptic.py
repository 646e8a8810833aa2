import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbeit3.datasets.panoptic import read_segment_ids
from mmbeit3.datasets.shapes import STUFF_CLASSES, THING_CLASSES, make_shapes_dataset
from mmbeit3.errors import UserError
from mmbeit3.evaluation import CocoPanopticQualityMetric, PanopticStatistics, Segment, match_segments
from tests.paths import shared


def test_worked_by_hand():
    truth = np.array([[1, 1, 1, 1, 2, 2, 0, 0]])
    predicted = np.array([[5, 5, 5, 6, 6, 6, 6, 5]])
    # 5 and 1: overlap 3, union 4 + 4 - 3 - 1 void = 4. 6 and 2: overlap 2, union 2 + 4 - 2 - 1 void = 3.
    result = match_segments(truth, {1: Segment(10), 2: Segment(20)}, predicted, {5: Segment(10), 6: Segment(20)})
    assert result == {10: PanopticStatistics(3 / 4, 1), 20: PanopticStatistics(2 / 3, 1)}


def test_crowds_and_void_excuse_predictions():
    truth = np.array([[1, 1, 1, 1, 0, 0, 2, 2]])
    predicted = np.array([[3, 3, 4, 4, 5, 5, 5, 5]])
    segments = {1: Segment(7, crowd=True), 2: Segment(8)}
    # 3 is of the crowd's category: excused. 4 is of another: a false positive. 5 lies half on void: not more than half.
    result = match_segments(truth, segments, predicted, {3: Segment(7), 4: Segment(8), 5: Segment(9)})
    assert result == {8: PanopticStatistics(fp=1, fn=1), 9: PanopticStatistics(fp=1)}


def by_pixels(truth, segments, predicted, found):
    """Compute the same from sets of pixels."""
    pixels = {i: {tuple(x) for x in np.argwhere(truth == i)} for i in [0, *segments]}
    mine = {i: {tuple(x) for x in np.argwhere(predicted == i)} for i in found}
    out = {}
    hits_t, hits_p = set(), set()
    for t, s in segments.items():
        for p, f in found.items():
            if s.crowd or s.category != f.category or not pixels[t] or not mine[p]:
                continue
            iou = len(pixels[t] & mine[p]) / len(pixels[t] | (mine[p] - pixels[0]))
            if iou > 0.5:
                out.setdefault(s.category, [0.0, 0, 0, 0])
                out[s.category][0] += iou
                out[s.category][1] += 1
                hits_t.add(t)
                hits_p.add(p)
    for t, s in segments.items():
        if pixels[t] and t not in hits_t and not s.crowd:
            out.setdefault(s.category, [0.0, 0, 0, 0])[3] += 1
    for p, f in found.items():
        if mine[p] and p not in hits_p:
            excuse = set(pixels[0]).union(*(pixels[t] for t, s in segments.items() if s.crowd and s.category == f.category))
            if len(mine[p] & excuse) * 2 <= len(mine[p]):
                out.setdefault(f.category, [0.0, 0, 0, 0])[2] += 1
    return {c: PanopticStatistics(*values) for c, values in out.items()}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_equals_sets_of_pixels(seed):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 4, (2, 3))
    truth = np.kron(blocks, np.ones((3, 3), int))
    predicted = np.where(rng.random(truth.shape) < 0.25, rng.integers(0, 4, truth.shape), truth)
    segments = {i: Segment(int(rng.integers(2)), bool(rng.random() < 0.3)) for i in (1, 2, 3)}
    found = {i: Segment(segments[i].category if rng.random() < 0.8 else 1) for i in (1, 2, 3)}
    ours, expected = match_segments(truth, segments, predicted, found), by_pixels(truth, segments, predicted, found)
    assert ours.keys() == expected.keys()
    for category, statistics in ours.items():
        assert statistics.iou == pytest.approx(expected[category].iou)
        assert (statistics.tp, statistics.fp, statistics.fn) == (
            expected[category].tp,
            expected[category].fp,
            expected[category].fn,
        )


def perfect(metric, classes):
    """Return the ground truth in mmdet's encoding of predictions."""
    names = [metric.categories[c][0] for c in metric.categories]
    for image_id, entry in metric.annotations.items():
        ids = read_segment_ids(metric.seg_prefix / entry["file_name"])
        coded = np.full(ids.shape, len(classes))
        for instance, s in enumerate(entry["segments_info"], start=1):
            label = classes.index(names[list(metric.categories).index(s["category_id"])])
            coded[ids == s["id"]] = label + 1000 * instance
        yield {"img_id": image_id, "pred_panoptic_seg": {"sem_seg": coded[None]}}


def check_perfect(annotations, pngs):
    metric = CocoPanopticQualityMetric(str(annotations), str(pngs))
    classes = [name for name, _ in metric.categories.values()]
    metric.dataset_meta = {"classes": classes}
    samples = list(perfect(metric, classes))
    metric.process(None, samples)
    result = metric.compute_metrics(metric.results)
    assert result["PQ"] == result["PQ_th"] == result["PQ_st"] == result["SQ"] == pytest.approx(100)
    # Shifting the prediction must cost something, and recognising nothing everything.
    metric.results.clear()
    metric.process(
        None, [{**s, "pred_panoptic_seg": {"sem_seg": np.roll(s["pred_panoptic_seg"]["sem_seg"], 4, 1)}} for s in samples]
    )
    assert 0 < metric.compute_metrics(metric.results)["PQ"] < 99


def test_truth_is_perfect_on_shapes(tmp_path):
    folder = make_shapes_dataset(tmp_path / "shapes", train=1, val=6, size=96)
    assert json.loads((folder / "annotations/panoptic_val2017.json").read_text())["categories"][0]["name"] in THING_CLASSES
    assert len(STUFF_CLASSES) == 3
    check_perfect(folder / "annotations/panoptic_val2017.json", folder / "annotations/panoptic_val2017")


def test_truth_is_perfect_on_photographs():
    folder = shared("real_coco", "annotations")
    check_perfect(folder / "panoptic_val2017.json", folder / "panoptic_val2017")


def test_predictions_that_do_not_fit(tmp_path):
    folder = make_shapes_dataset(tmp_path / "shapes", train=1, val=1, size=96)
    metric = CocoPanopticQualityMetric(
        str(folder / "annotations/panoptic_val2017.json"), str(folder / "annotations/panoptic_val2017")
    )
    classes = [name for name, _ in metric.categories.values()]
    for meta, image, seg, reason in [
        (classes, 1, torch.zeros(1, 96, 95, dtype=torch.long), r"image 1 .*\(96, 95\)"),
        (classes, 9, torch.zeros(1, 96, 96, dtype=torch.long), "image 9 is not in"),
        (classes, 1, torch.full((1, 96, 96), 99), "predicts class 99"),
        ([*classes, "hexagon"], 1, torch.zeros(1, 96, 96, dtype=torch.long), "classes hexagon"),
    ]:
        metric.dataset_meta = {"classes": meta}
        with pytest.raises(UserError, match=reason):
            metric.process(None, [{"img_id": image, "pred_panoptic_seg": {"sem_seg": seg}}])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_predictions_on_a_gpu(tmp_path):
    folder = make_shapes_dataset(tmp_path / "shapes", train=1, val=1, size=96)
    metric = CocoPanopticQualityMetric(
        str(folder / "annotations/panoptic_val2017.json"), str(folder / "annotations/panoptic_val2017")
    )
    metric.dataset_meta = {"classes": [name for name, _ in metric.categories.values()]}
    metric.process(None, [{"img_id": 1, "pred_panoptic_seg": {"sem_seg": torch.zeros(1, 96, 96, dtype=torch.long).cuda()}}])
    assert metric.results


def test_errors(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        CocoPanopticQualityMetric(str(tmp_path / "none.json"), str(tmp_path))
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(UserError, match="no COCO panoptic"):
        CocoPanopticQualityMetric(str(tmp_path / "bad.json"), str(tmp_path))
    with pytest.raises(ValueError, match="pixels"):
        match_segments(np.zeros((2, 2)), {}, np.zeros((3, 2)), {})
    with pytest.raises(ValueError, match=r"segment ids \[1\], but its list of segments lacks them"):
        match_segments(np.ones((2, 2), int), {}, np.zeros((2, 2), int), {})
