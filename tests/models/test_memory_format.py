"""Output maps are contiguous, because mmcv's compiled ops read memory as NCHW without a check."""

import copy
import math
from itertools import product

import mmcv
import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import MODELS

from mmbeit3.models.backbones import BEiT3Vision, TimmViT, ViTAdapter
from mmbeit3.models.necks import SimpleFeaturePyramid
from mmbeit3.ops import mmcv_ext
from tests.goldens import ARCH
from tests.paths import ROOT

SIZES = [(64, 64), (65, 99)]
VIT = {"type": "mmbeit3.BEiT3Vision", "arch": ARCH}
WINDOWS = {"window_size": 2, "global_indices": (3,)}
TIMM = "vit_tiny_patch16_224"


def adapter(norm="BN", vit=VIT, layers=4, **options):
    norm_cfg = {"type": norm, "num_groups": 8} if norm == "GN" else {"type": norm}
    groups = [(i * layers // 4, (i + 1) * layers // 4 - 1) for i in range(4)]
    return ViTAdapter(vit, groups, conv_inplane=8, deform_num_heads=3, norm_cfg=norm_cfg, **options)


def pyramid(norm_cfg=None):
    vit = BEiT3Vision(ARCH, **WINDOWS)
    return torch.nn.Sequential(vit, SimpleFeaturePyramid(vit.embed_dims, 32, norm_cfg=norm_cfg))


MADE = {
    "vision": lambda: BEiT3Vision(ARCH, out_indices=(1, 3)),
    "vision in windows": lambda: BEiT3Vision(ARCH, final_norm=True, **WINDOWS),
    "timm": lambda: TimmViT(TIMM),
    "adapter, batch norm": adapter,
    "adapter, group norm": lambda: adapter("GN"),
    "adapter, layer norm": lambda: adapter("mmbeit3.LN2d", vit_feature="last"),
    "adapter without features, windows": lambda: adapter(vit={**VIT, **WINDOWS}, add_vit_feature=False),
    "adapter around timm": lambda: adapter(vit={"type": "mmbeit3.TimmViT", "model_name": TIMM}, layers=12),
    "pyramid": pyramid,
    "pyramid, batch norm": lambda: pyramid({"type": "BN"}),
}


def raw(tensor):
    """Return a tensor as an op sees it that takes its memory for contiguous."""
    strides = [math.prod(tensor.shape[i + 1 :]) for i in range(tensor.ndim)]
    return tensor.as_strided(tensor.shape, strides)


def check(maps):
    for features in maps:
        assert features.is_contiguous()
        assert torch.equal(raw(features), features)


@pytest.mark.parametrize("name", MADE)
def test_outputs_are_contiguous(name):
    model = MADE[name]()
    for training, batch, size in product((True, False), (1, 2), SIZES):
        image = torch.randn(batch, 3, *size)
        check(model.train(training)(image))
    with torch.autocast("cpu", torch.bfloat16):
        check(model(image))
    with torch.inference_mode():
        check(model(image.contiguous(memory_format=torch.channels_last)))
    check(model.to(memory_format=torch.channels_last)(image))


@pytest.mark.parametrize("name", ["vision in windows", "adapter, batch norm", "pyramid"])
def test_graphs_give_contiguous_outputs(name):
    torch.compiler.reset()
    model = MADE[name]().eval()
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        check(torch.compile(model, fullgraph=True, backend="aot_eager")(image))
        check(torch.export.export(model, (image,)).module()(image))
    torch.compiler.reset()


class RawNorm(torch.nn.BatchNorm2d):
    """A norm that reads memory like ``MMSyncBN``, which runs only on GPUs."""

    def forward(self, input):
        return super().forward(raw(input))


RawNorm.__module__ = "mmcv.ops.sync_bn"


@pytest.mark.parametrize("training", [False, True])
def test_norms_that_read_raw_memory_are_given_contiguous_maps(training):
    model = adapter().train(training)
    image = torch.randn(2, 3, 64, 96)
    expected = copy.deepcopy(model)(image)
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.__class__ = RawNorm
    torch.testing.assert_close(model(image), expected, rtol=1e-4, atol=1e-4)


NECKS = {
    "adapter and FPN": ({"type": "FPN", "in_channels": [48] * 4, "out_channels": 32, "num_outs": 5}, None),
    "pyramid": (
        {"type": "mmbeit3.SimpleFeaturePyramid", "in_channels": 48, "out_channels": 32},
        {**VIT, **WINDOWS},
    ),
}


@pytest.fixture
def detector(request):
    register_all_modules()
    cfg = Config.fromfile(ROOT / "configs" / "shapes" / "mask-rcnn_beit3-adapter-t_shapes.py").model
    neck, backbone = NECKS[request.param]
    cfg.neck = neck
    if backbone is None:
        cfg.backbone.update(vit=VIT, interaction_indexes=[(i, i) for i in range(4)], deform_num_heads=3, conv_inplane=8)
    else:
        cfg.backbone = backbone
    for head in (cfg.rpn_head, cfg.roi_head.bbox_roi_extractor, cfg.roi_head.mask_roi_extractor):
        head.update({key: 32 for key in ("in_channels", "feat_channels", "out_channels") if key in head})
    cfg.roi_head.bbox_head.in_channels = cfg.roi_head.mask_head.in_channels = 32
    cfg.test_cfg.rcnn.score_thr = 0.0
    return MODELS.build(cfg)


@pytest.mark.skipif(not mmcv_ext.is_replaced(), reason="compiled mmcv reads raw memory itself")
@pytest.mark.parametrize("detector", NECKS, indirect=True)
def test_a_detector_on_operators_that_read_raw_memory(detector, monkeypatch):
    """With compiled mmcv, channels-last maps would silently give features of other positions and channels."""
    from mmdet.testing import demo_mm_inputs

    detector.train()
    inputs = detector.data_preprocessor(
        demo_mm_inputs(2, [[3, 96, 128], [3, 80, 99]], num_items=[3, 4], num_classes=6, with_mask=True), True
    )

    def outcome():
        detector.zero_grad()
        torch.manual_seed(0)
        loss, values = detector.parse_losses(detector(**inputs, mode="loss"))
        loss.backward()
        return dict(values), [p.grad.clone() for p in detector.parameters() if p.grad is not None]

    expected = outcome()
    calls = []

    def reading_raw(operator):
        def call(*args, **kwargs):
            calls.append(operator.__name__)
            return operator(*(raw(arg) if torch.is_tensor(arg) else arg for arg in args), **kwargs)

        return call

    for name, operator in list(vars(mmcv._ext).items()):
        if callable(operator):
            monkeypatch.setattr(mmcv._ext, name, reading_raw(operator))
    found = outcome()
    assert {"roi_align_forward", "roi_align_backward", "nms"} <= set(calls)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
