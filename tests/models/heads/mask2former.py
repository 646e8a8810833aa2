"""Small Mask2Former heads of mmdet, mmseg and mmbeit3 with equal weights, and their inputs."""

import copy

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch import nn

import mmbeit3.registry  # noqa: F401

SIZE = 64
QUERIES = 10
THINGS, STUFF = 5, 4
OURS = {
    "mmdet.Mask2FormerHead": "mmbeit3.Mask2FormerHead",
    "mmseg.Mask2FormerHead": "mmbeit3.SegMask2FormerHead",
    "mmdet.MSDeformAttnPixelDecoder": "mmbeit3.MSDeformAttnPixelDecoder",
}
_rand = torch.rand


def settings(kind="mmdet", things=THINGS, stuff=0):
    """Config of mmdet's or mmseg's head."""
    width = 32
    attention = {"embed_dims": width, "num_heads": 4, "dropout": 0.0, "batch_first": True}
    # The networks are compared, so nothing changes abruptly with a rounding error: no ReLU.
    ffn = {"embed_dims": width, "feedforward_channels": 48, "ffn_drop": 0.0, "act_cfg": {"type": "GELU"}}
    positions = {"num_feats": width // 2, "normalize": True}
    counts = {"num_classes": things} if kind == "mmseg" else {"num_things_classes": things, "num_stuff_classes": stuff}
    return ConfigDict(
        type=f"{kind}.Mask2FormerHead",
        in_channels=[8, 16, 24, 32],
        strides=[4, 8, 16, 32],
        feat_channels=width,
        out_channels=width,
        num_queries=QUERIES,
        num_transformer_feat_level=3,
        pixel_decoder={
            "type": "mmdet.MSDeformAttnPixelDecoder",
            "num_outs": 3,
            "norm_cfg": {"type": "GN", "num_groups": 8},
            "act_cfg": {"type": "GELU"},
            "encoder": {
                "num_layers": 2,
                "layer_cfg": {"self_attn_cfg": {"num_levels": 3, "num_points": 2, **attention}, "ffn_cfg": ffn},
            },
            "positional_encoding": positions,
        },
        positional_encoding=positions,
        transformer_decoder={
            "return_intermediate": True,
            "num_layers": 4,
            "layer_cfg": {"self_attn_cfg": attention, "cross_attn_cfg": attention, "ffn_cfg": ffn},
        },
        loss_cls={
            "type": "mmdet.CrossEntropyLoss",
            "use_sigmoid": False,
            "loss_weight": 2.0,
            "class_weight": [1.0] * (things + stuff) + [0.1],
        },
        loss_mask={"type": "mmdet.CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 5.0},
        loss_dice={"type": "mmdet.DiceLoss", "use_sigmoid": True, "naive_dice": True, "eps": 1.0, "loss_weight": 5.0},
        train_cfg={
            "num_points": 96,
            "oversample_ratio": 3.0,
            "importance_sample_ratio": 0.75,
            "assigner": {
                "type": "mmdet.HungarianAssigner",
                "match_costs": [
                    {"type": "mmdet.ClassificationCost", "weight": 2.0},
                    {"type": "mmdet.CrossEntropyLossCost", "weight": 5.0, "use_sigmoid": True},
                    {"type": "mmdet.DiceCost", "weight": 5.0, "pred_act": True, "eps": 1.0},
                ],
            },
            "sampler": {"type": "mmdet.MaskPseudoSampler"},
        },
        **counts,
    )


def ours(config):
    """Replace the classes of a head's config by ours."""
    config = copy.deepcopy(config)
    for part in (config, config.pixel_decoder):
        part.type = OURS[part.type]
    return config


def pair(config):
    """Build a head and ours with the same weights."""
    torch.manual_seed(0)
    theirs = MODELS.build(config)
    theirs.init_weights()
    head = MODELS.build(ours(config))
    head.load_state_dict(theirs.state_dict())
    for each in (theirs, head):
        each.mask_embed[1] = each.mask_embed[3] = nn.GELU()
    return theirs, head


def features(batch=2):
    torch.manual_seed(1)
    return [torch.randn(batch, 8 * (i + 1), SIZE // 4 >> i, SIZE // 4 >> i) for i in range(4)]


def detection_samples(counts, classes=THINGS, stuff=()):
    """Samples with rectangles, and maps of stuff of some classes, in images whose right part is padding."""
    rng = np.random.default_rng(0)
    samples = []
    for image, count in enumerate(counts):
        masks = np.zeros((count, SIZE, SIZE), np.uint8)
        for mask in masks:
            x, y, w, h = rng.integers(4, 24, 4)
            mask[y : y + h, x : x + w] = 1
        sample = DetDataSample(metainfo={"img_shape": (SIZE, 50), "batch_input_shape": (SIZE, SIZE), "pad_shape": (SIZE, SIZE)})
        labels = torch.from_numpy(rng.integers(0, classes, count))
        sample.gt_instances = InstanceData(labels=labels, masks=BitmapMasks(masks, SIZE, SIZE))
        if stuff:
            sample.gt_sem_seg = PixelData(sem_seg=label_map(stuff[image], seed=image))
        samples.append(sample)
    return samples


def segmentation_samples(classes):
    """Samples whose label maps have the given classes, for each image."""
    samples = []
    for image, present in enumerate(classes):
        sample = SegDataSample(metainfo={"img_shape": (SIZE, SIZE), "pad_shape": (SIZE, SIZE)})
        sample.gt_sem_seg = PixelData(data=label_map(present, seed=image))
        samples.append(sample)
    return samples


def label_map(classes, seed):
    """Map (1, SIZE, SIZE) of squares of these classes."""
    rng = np.random.default_rng(seed)
    squares = torch.from_numpy(rng.choice(list(classes), (1, 8, 8))).long()
    squares[0, 0, : len(classes)] = torch.tensor(list(classes))
    return squares.repeat_interleave(SIZE // 8, 1).repeat_interleave(SIZE // 8, 2)


def fixed_rand(*size, **kwargs):
    """Return points that depend on the last two sizes only, whatever the number of rows and the order of the calls."""
    size = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
    points = _rand(size[-2:], generator=torch.Generator().manual_seed(size[-2]))
    return points.expand(size).clone()
