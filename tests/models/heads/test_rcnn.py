"""The parts of R-CNN detectors give mmdet's results with the same random numbers, with fewer waits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules.assigners import BboxOverlaps2D, MaxIoUAssigner
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.samplers import RandomSampler
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mmbeit3.models.heads import assigning
from mmbeit3.profiling.launches import count_launches
from tests.paths import ROOT

SIZE = 128
THEIRS = {
    "mmbeit3.RPNHead": "RPNHead",
    "mmbeit3.DeltaXYWHBBoxCoder": "DeltaXYWHBBoxCoder",
    "mmbeit3.SingleRoIExtractor": "SingleRoIExtractor",
    "mmbeit3.Shared2FCBBoxHead": "Shared2FCBBoxHead",
    "mmbeit3.FCNMaskHead": "FCNMaskHead",
    "mmbeit3.MaxIoUAssigner": "MaxIoUAssigner",
    "mmbeit3.RandomSampler": "RandomSampler",
}


@pytest.fixture(autouse=True, scope="module")
def _scope():
    """Assigners find the default of their IoU calculator by the default scope, which other tests change."""
    init_default_scope("mmdet")


def boxes(rng, count):
    corner = rng.integers(0, 90, (count, 2))
    # Sides on a grid, so that some overlaps are equal.
    return torch.from_numpy(np.concatenate([corner, corner + 8 * rng.integers(1, 5, (count, 2))], axis=1)).float()


@given(seed=st.integers(0, 10**6), objects=st.integers(0, 6), mode=st.sampled_from(["iou", "iof", "giou"]))
@settings(max_examples=25, deadline=None)
def test_overlaps(seed, objects, mode):
    rng = np.random.default_rng(seed)
    first, second = boxes(rng, objects), boxes(rng, 9)
    assert torch.equal(assigning.BboxOverlaps2D()(first, second, mode), BboxOverlaps2D()(first, second, mode))
    assert torch.equal(assigning.BboxOverlaps2D()(second, second, mode, True), BboxOverlaps2D()(second, second, mode, True))


def instances(rng, count):
    return InstanceData(bboxes=boxes(rng, count), labels=torch.from_numpy(rng.integers(0, 5, count)))


@given(
    seed=st.integers(0, 10**6),
    objects=st.integers(0, 6),
    count=st.integers(0, 60),
    least=st.sampled_from([0.0, 0.3]),
    low_quality=st.booleans(),
    all_best=st.booleans(),
    ignore=st.sampled_from([-1, 0.4]),
    low=st.sampled_from([0.3, (0.1, 0.4)]),
)
@settings(max_examples=60, deadline=None)
def test_assignment(seed, objects, count, least, low_quality, all_best, ignore, low):
    rng = np.random.default_rng(seed)
    arguments = {
        "pos_iou_thr": 0.5,
        "neg_iou_thr": low,
        "min_pos_iou": least,
        "match_low_quality": low_quality,
        "gt_max_assign_all": all_best,
        "ignore_iof_thr": ignore,
    }
    truth, ignored = instances(rng, objects), instances(rng, 2)
    priors = boxes(rng, count)
    inside = torch.from_numpy(rng.random(count) < 0.7)
    theirs, ours = MaxIoUAssigner(**arguments), assigning.MaxIoUAssigner(**arguments)
    wanted = theirs.assign(InstanceData(priors=priors), truth, ignored)
    found = ours.assign(InstanceData(priors=priors), truth, ignored)
    assert torch.equal(found.gt_inds, wanted.gt_inds)
    assert torch.equal(found.labels, wanted.labels)
    assert torch.equal(found.max_overlaps, wanted.max_overlaps)
    # mmdet takes out the anchors that are outside, and puts them back later.
    wanted = theirs.assign(InstanceData(priors=priors[inside]), truth, ignored)
    found = ours.assign(InstanceData(priors=priors), truth, ignored, inside=inside)
    assert torch.equal(found.gt_inds[inside], wanted.gt_inds)
    assert (found.gt_inds[~inside] == -1).all()


@given(
    seed=st.integers(0, 10**6),
    objects=st.integers(0, 6),
    number=st.sampled_from([4, 16, 200]),
    bound=st.sampled_from([-1, 2]),
    add=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_sampling(seed, objects, number, bound, add):
    rng = np.random.default_rng(seed)
    truth, prediction = instances(rng, objects), InstanceData(priors=boxes(rng, 50))
    arguments = {"num": number, "pos_fraction": 0.25, "neg_pos_ub": bound, "add_gt_as_proposals": add}
    results = []
    for sampler in (RandomSampler(**arguments), assigning.RandomSampler(**arguments)):
        assigned = MaxIoUAssigner(0.4, 0.4, match_low_quality=True).assign(prediction, truth)
        torch.manual_seed(seed)
        results.append(sampler.sample(assigned, prediction, truth))
    for name in ("pos_inds", "neg_inds", "pos_priors", "neg_priors", "pos_gt_labels", "pos_gt_bboxes", "pos_is_gt"):
        wanted, found = (getattr(result, name) for result in results)
        assert torch.equal(found.reshape(wanted.shape), wanted), name
    assert results[0].avg_factor == results[1].avg_factor


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("shape", [None, (100, 90)])
def test_coder(classes, shape):
    rng = np.random.default_rng(0)
    source, target = boxes(rng, 20), boxes(rng, 20)
    means, stds = (0.1, -0.1, 0.0, 0.2), (0.1, 0.1, 0.2, 0.3)
    theirs, ours = DeltaXYWHBBoxCoder(means, stds), assigning.DeltaXYWHBBoxCoder(means, stds)
    torch.testing.assert_close(ours.encode(source, target), theirs.encode(source, target))
    deltas = torch.randn(20, 4 * classes, generator=torch.Generator().manual_seed(0)) * 20  # some beyond the limit
    torch.testing.assert_close(ours.decode(source, deltas, shape), theirs.decode(source, deltas, shape))


def detectors(name="mask-rcnn"):
    """Build mmdet's detector and ours with equal weights from our config, with small layers."""
    cfg = Config.fromfile(ROOT / f"configs/coco/{name}_beit3-adapter-b_fpn_1x_coco.py")
    init_default_scope(cfg.default_scope)
    cfg.model.backbone = ConfigDict(type="mmdet.ResNet", depth=18, base_channels=8)
    cfg.model.neck.update(in_channels=[8, 16, 32, 64], out_channels=16)
    cfg.model.rpn_head.update(in_channels=16, feat_channels=16)
    for part in ("bbox_roi_extractor", "mask_roi_extractor"):
        cfg.model.roi_head[part].out_channels = 16
    for head in as_list(cfg.model.roi_head.bbox_head):
        head.update(in_channels=16, fc_out_channels=16)
    cfg.model.roi_head.mask_head.update(in_channels=16, conv_out_channels=16, num_convs=1)
    cfg.model.train_cfg.rpn_proposal.max_per_img = 40
    for stage in as_list(cfg.model.train_cfg.rcnn):
        stage.sampler.num = 32
    torch.manual_seed(0)
    ours = MODELS.build(cfg.model)
    theirs = MODELS.build(with_their_types(cfg.model))
    theirs.load_state_dict(ours.state_dict())
    return theirs, ours


def as_list(part):
    return part if isinstance(part, list) else [part]


def with_their_types(cfg):
    if isinstance(cfg, list):
        return [with_their_types(part) for part in cfg]
    if isinstance(cfg, dict):
        return type(cfg)({k: THEIRS.get(v, v) if k == "type" else with_their_types(v) for k, v in cfg.items()})
    return cfg


def samples(counts):
    rng = np.random.default_rng(0)
    made = []
    for count in counts:
        truth = instances(rng, count)
        masks = np.zeros((count, SIZE, SIZE), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, truth.bboxes.int().tolist(), strict=True):
            mask[y1 : y2 - 2, x1 + 2 : x2] = 1
        truth.masks = BitmapMasks(masks, SIZE, SIZE)
        meta = {"img_shape": (SIZE, SIZE - 20), "pad_shape": (SIZE, SIZE), "batch_input_shape": (SIZE, SIZE)}
        made.append(DetDataSample(metainfo=meta, gt_instances=truth))
    return made


def total(losses):
    parts = [part for name, loss in losses.items() if "loss" in name for part in as_list(loss)]
    return torch.stack([part.sum() for part in parts])


@pytest.mark.parametrize("counts", [(3, 5), (4, 0), (0, 0)])
@pytest.mark.parametrize("name", ["mask-rcnn", "cascade-mask-rcnn"])
def test_losses_and_gradients_are_equal(name, counts):
    results = []
    image = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    for model in detectors(name):
        torch.manual_seed(1)
        losses = model.loss(image, samples(counts))
        total(losses).sum().backward()
        results.append((losses, {name: parameter.grad for name, parameter in model.named_parameters()}))
    (wanted, wanted_gradients), (losses, gradients) = results
    assert list(losses) == list(wanted)
    torch.testing.assert_close(total(losses), total(wanted), atol=1e-6, rtol=1e-5)
    for name, gradient in wanted_gradients.items():
        assert (gradient is None) == (gradients[name] is None), name
        if gradient is not None:
            assert (gradients[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-7, name


def test_waits():
    theirs, ours = detectors()
    image = torch.randn(2, 3, SIZE, SIZE)
    waits = []
    for model in (theirs, ours):
        model.rpn_head.train_cfg.allowed_border = -1

        truth = samples((3, 5))

        def step(model=model, truth=truth):
            total(model.loss(image, truth)).sum().backward()

        waits.append(count_launches(step)[1])
    assert waits[0].waits > 100
    # The numbers of anchors, of boxes of two images, and of RoIs for boxes and for masks.
    assert waits[1].wait_kinds["copy to host"] == 1 + 2 + 2
    # The others are mmdet's filter of small proposals, and mmcv's suppression, for each image.
    assert waits[1].waits <= 17


def test_no_anchor_inside():
    _, ours = detectors()
    ours.rpn_head.train_cfg.allowed_border = 0
    ours.rpn_head.prior_generator.base_anchors = [anchors * 100 for anchors in ours.rpn_head.prior_generator.base_anchors]
    with pytest.raises(ValueError, match=r"no anchor is inside image 0 of \(128, 108\) pixels: use larger images"):
        ours.loss(torch.randn(2, 3, SIZE, SIZE), samples((3, 5)))


def test_masks_of_several_sizes_are_left_to_mmdet():
    theirs, ours = (model.roi_head.mask_head for model in detectors())
    rng = np.random.default_rng(0)
    sampled = [
        InstanceData(pos_priors=boxes(rng, 3), pos_assigned_gt_inds=torch.tensor([0, 1, 1])),
        InstanceData(pos_priors=boxes(rng, 2), pos_assigned_gt_inds=torch.tensor([0, 0])),
    ]
    for sides in ((SIZE, SIZE), (SIZE, 100)):
        truth = [InstanceData(masks=BitmapMasks(rng.integers(0, 2, (2, SIZE, w), np.uint8), SIZE, w)) for w in sides]
        for cfg in (ConfigDict(mask_size=28), ConfigDict(mask_size=14, soft_mask_target=True)):
            wanted, found = (head.get_targets(sampled, truth, cfg) for head in (theirs, ours))
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("loss_bbox", {"type": "GIoULoss"}, "needs CrossEntropyLoss"),
        ("bbox_coder", {"type": "DeltaXYWHBBoxCoder"}, "bbox_coder=dict"),
    ],
)
def test_other_parts_are_refused(part, value, message):
    cfg = Config.fromfile(ROOT / "configs/coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py")
    init_default_scope(cfg.default_scope)
    cfg.model.rpn_head[part] = value
    with pytest.raises(ValueError, match=message):
        MODELS.build({**cfg.model.rpn_head, "train_cfg": cfg.model.train_cfg.rpn})


def test_settings_of_the_assigner_are_refused():
    with pytest.raises(ValueError, match=r"has no gpu_assign_thr and perm_repeat_gt_cfg: use mmdet\.MaxIoUAssigner"):
        assigning.MaxIoUAssigner(0.5, 0.5, gpu_assign_thr=10)


@pytest.mark.parametrize("classes", [1, 3, 80, 365])
def test_initial_weights_of_the_mask_head(classes):
    """As mmdet's from 80 classes on. With fewer, the first loss stays close to that of equal chances, 0.69."""
    heads = []
    for name in ("FCNMaskHead", "mmbeit3.FCNMaskHead"):
        torch.manual_seed(0)
        heads.append(MODELS.build({"type": name, "num_classes": classes}))
        heads[-1].init_weights()
    theirs, ours = (head.conv_logits.weight for head in heads)
    if classes >= 80:
        assert torch.equal(ours, theirs)
    assert ours.std().item() == pytest.approx((2 / max(classes, 80)) ** 0.5, rel=0.15)
    features = torch.randn(40, 256, 14, 14, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(40) % classes
    first, second = (head.loss_mask(head(features), torch.ones(40, 28, 28), labels).item() for head in heads)
    assert second < 1.2
    assert first > 2 or classes > 1


def test_regions_are_not_rounded_to_the_dtype_of_the_features():
    """bfloat16 has 8 significant bits: from 512 on, its numbers are 4 apart."""
    cfg = {
        "type": "mmbeit3.SingleRoIExtractor",
        "roi_layer": {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 0},
        "out_channels": 4,
    }
    corner = torch.rand(30, 2) * 600 + 300
    rois = torch.cat([torch.zeros(30, 1), corner, corner + 20 + 60 * torch.rand(30, 2)], dim=1)
    for strides in ([4, 8], [4]):
        extractor = MODELS.build({**cfg, "featmap_strides": strides})
        maps = [torch.randn(1, 4, 1024 // stride, 1024 // stride).bfloat16() for stride in strides]
        found = extractor(maps, rois)
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), extractor([level.float() for level in maps], rois), atol=0.01, rtol=0.01)
