"""The heads give mmdet's and mmseg's losses, gradients and predictions, with fewer waits and launches."""

import copy

import pytest
import torch
from mmengine.registry import MODELS

from mmbeit3.profiling.launches import count_launches
from tests.models.heads.mask2former import (
    STUFF,
    THINGS,
    detection_samples,
    features,
    fixed_rand,
    ours,
    pair,
    segmentation_samples,
    settings,
)

DETECTION = {
    "several objects": ((2, 5), ()),
    "an image without objects": ((3, 0), ()),
    "no objects": ((0, 0), ()),
    "one image": ((4,), ()),
    "more objects than queries": ((12, 3), ()),
    "panoptic": ((2, 1), ((5, 7, 255), (0, 2, 8))),
    "panoptic without things": ((0, 0), ((5, 6), (255,))),
}
SEGMENTATION = {
    "several classes": [(0, 1, 4), (2, 3)],
    "ignored regions": [(0, 255), (1, 2, 255)],
    "an ignored image": [(255,), (1, 3)],
    "all ignored": [(255,), (255,)],
}


@pytest.fixture
def fixed_points(monkeypatch):
    monkeypatch.setattr(torch, "rand", fixed_rand)


def detection(case):
    counts, stuff = DETECTION[case]
    return settings("mmdet", stuff=STUFF if stuff else 0), detection_samples(counts, stuff=stuff), ()


def segmentation(case):
    return settings("mmseg"), segmentation_samples(SEGMENTATION[case]), (None,)


CASES = [pytest.param(detection, case, id=f"mmdet, {case}") for case in DETECTION]
CASES += [pytest.param(segmentation, case, id=f"mmseg, {case}") for case in SEGMENTATION]


def losses_and_gradients(head, maps, samples, extra):
    maps = [level.clone().requires_grad_() for level in maps]
    losses = head.loss(maps, copy.deepcopy(samples), *extra)
    sum(loss.sum() for loss in losses.values()).backward()
    gradients = {name: parameter.grad for name, parameter in head.named_parameters()}
    return losses, gradients | {str(i): level.grad for i, level in enumerate(maps)}


@pytest.mark.parametrize(("make", "case"), CASES)
def test_losses_and_gradients_are_equal(make, case, fixed_points):
    config, samples, extra = make(case)
    heads = pair(config)
    maps = features(len(samples))
    (wanted, wanted_gradients), (losses, gradients) = (losses_and_gradients(head, maps, samples, extra) for head in heads)
    # 4 layers, the state before them, and three losses of each.
    assert list(losses) == list(wanted)
    assert len(losses) == 5 * 3
    for name, loss in losses.items():
        torch.testing.assert_close(loss, wanted[name].squeeze(), atol=1e-5, rtol=1e-5, msg=name)
    assert gradients.keys() == wanted_gradients.keys()
    for name, gradient in gradients.items():
        other = wanted_gradients[name]
        assert (gradient is None) == (other is None), name
        if gradient is not None:
            # A gradient that is zero in theory, such as that of a bias before a norm, is a rounding error.
            assert (gradient - other).norm() <= 1e-5 * other.norm() + 1e-6, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_predictions_are_equal(dtype):
    theirs, head = pair(settings("mmdet", stuff=STUFF))
    samples = detection_samples((1, 1))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        wanted, found = theirs.predict(features(), samples), head.predict(features(), samples)
    tolerance = 1e-5 if dtype == torch.float32 else 5e-2
    for ours_, theirs_ in zip(found, wanted, strict=True):
        assert ours_.dtype == theirs_.dtype
        assert (ours_ - theirs_).norm() <= tolerance * theirs_.norm()


def test_segmentation_is_equal():
    theirs, head = pair(settings("mmseg"))
    metas = [{"img_shape": (64, 64), "pad_shape": (64, 64)}] * 2
    with torch.no_grad():
        wanted, found = (each.predict(features(), metas, None) for each in (theirs, head))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("make", "case"), [CASES[0], CASES[5], CASES[7]])
def test_losses_under_autocast(make, case, fixed_points):
    config, samples, extra = make(case)
    theirs, head = pair(config)
    with torch.autocast("cpu", torch.bfloat16):
        scores, masks = head(features(), samples)
        objects = {}
        head.set_losses.forward = lambda scores, masks, found: objects.update(found=found)
        head.loss(features(), samples, *extra)
        del head.set_losses.forward
        losses = head.set_losses(scores, masks, objects["found"])
        instances = theirs_instances(theirs, samples)
        theirs.assigner.assign = assign_in_float32(theirs.assigner.assign)
        wanted = theirs.loss_by_feat(scores, masks, instances, [sample.metainfo for sample in samples])
    for name, loss in losses.items():
        # mmdet rounds the weights of the classes and the divisor to bfloat16.
        torch.testing.assert_close(loss, wanted[name].squeeze().float(), atol=0, rtol=2e-2, msg=name)


def assign_in_float32(assign):
    """Wrap mmdet's assignment. With costs of bfloat16, it assigns other queries."""

    def wrapped(pred_instances, gt_instances, img_meta):
        pred_instances.scores = pred_instances.scores.float()
        with torch.autocast("cpu", enabled=False):
            return assign(pred_instances, gt_instances, img_meta)

    return wrapped


def theirs_instances(head, samples):
    if hasattr(head, "_seg_data_to_instance_data"):
        return head._seg_data_to_instance_data(samples)[0]
    segments = [sample.gt_sem_seg if "gt_sem_seg" in sample else None for sample in samples]
    return head.preprocess_gt([sample.gt_instances for sample in samples], segments)


def test_mean_over_processes(fixed_points, monkeypatch):
    config, samples, extra = detection("several objects")
    theirs, head = pair(config)
    alone = head.loss(features(), samples, *extra)["loss_mask"]
    for place in ("mmdet.utils", "mmdet.models.dense_heads.mask2former_head"):
        monkeypatch.setattr(f"{place}.reduce_mean", lambda number: number * 3)
    wanted, losses = (each.loss(features(), copy.deepcopy(samples), *extra) for each in (theirs, head))
    torch.testing.assert_close(losses["loss_mask"], wanted["loss_mask"].squeeze(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(losses["loss_mask"], alone / 3)


@pytest.mark.parametrize(
    ("make", "case", "waits"),
    [(detection, "several objects", 1), (detection, "panoptic", 2), (segmentation, "several classes", 2)],
)
def test_waits_and_launches_of_the_loss(make, case, waits):
    config, samples, extra = make(case)
    theirs, head = pair(config)
    maps = features()
    head.loss(maps, samples, *extra)  # fills the caches
    counts = {}
    for name, each in (("theirs", theirs), ("ours", head)):
        _, counts[name] = count_launches(lambda each=each: each.loss(maps, copy.deepcopy(samples), *extra))
    # Deformable attention has waits of its own.
    heads = {
        name: sum(n for place, n in found.wait_places.items() if "deform_attn" not in place) for name, found in counts.items()
    }
    assert heads["ours"] == waits
    assert heads["theirs"] > 100
    assert counts["ours"].launches < counts["theirs"].launches / 2


def test_points_are_drawn_in_parts(monkeypatch, fixed_points):
    config, samples, extra = detection("several objects")
    _, head = pair(config)
    wanted = head.loss(features(), samples, *extra)
    monkeypatch.setattr("mmbeit3.models.heads.set_losses._ROWS", 3)
    losses = head.loss(features(), samples, *extra)
    assert all(torch.equal(losses[name], loss) for name, loss in wanted.items())


def test_unknown_class_is_refused():
    _, head = pair(settings("mmseg"))
    with pytest.raises(ValueError, match=r"pixels whose class is not in 0\.\.4 and is not the head's ignore_index: check"):
        head.loss(features(), segmentation_samples([(0, 7), (1,)]), None)


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("loss_mask", "type", "mmdet.FocalLoss", "loss_mask must be mmdet.CrossEntropyLoss"),
        ("loss_cls", "reduction", "sum", "loss_cls must be .* reduction='mean'"),
        ("loss_mask", "class_weight", [2.0], "loss_mask must not have class_weight"),
        ("assigner", "match_costs", [{"type": "mmdet.FocalLossCost"}], "match cost FocalLossCost is not supported"),
    ],
)
def test_other_losses_are_refused(part, key, value, message):
    config = ours(settings("mmdet"))
    (config.train_cfg if part == "assigner" else config)[part][key] = value
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)


def test_head_without_train_cfg_predicts_but_has_no_losses():
    config = ours(settings("mmdet"))
    config.train_cfg = None
    head = MODELS.build(config)
    samples = detection_samples((1, 1))
    scores, _ = head.predict(features(), samples)
    assert scores.shape == (2, 10, THINGS + 1)
    with pytest.raises(ValueError, match="built without train_cfg"):
        head.loss(features(), samples)
