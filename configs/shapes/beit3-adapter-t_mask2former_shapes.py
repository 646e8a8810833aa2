# Mask2Former for semantic segmentation with a tiny BEiT-3 ViT-Adapter on the shapes dataset, 1300 iterations, from random
# weights on two CPU cores.
# Our choice: all values, tuned for this short training.
_base_ = ["../_base_/models/small_mask2former.py", "../_base_/models/adapter-t.py", "../_base_/seg_runtime.py"]
data_root = "data/shapes/ade"
metainfo = dict(
    classes=("stripes", "checks", "clouds", "circle", "square", "triangle", "star", "cross", "crescent"),
    palette=[
        [120, 120, 120], [80, 50, 50], [6, 130, 200], [230, 60, 60], [60, 180, 75],
        [255, 215, 25], [0, 100, 220], [245, 130, 48], [145, 30, 180],
    ],
)  # fmt: skip
num_classes = 9
crop_size = (128, 128)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(_base_.pop("adapter"), conv_inplane=64),
    decode_head=dict(
        in_channels=[192] * 4,
        num_classes=num_classes,
        num_queries=12,
        loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]),
        train_cfg=dict(num_points=2048),
    ),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomFlip", prob=[0.3, 0.3], direction=["horizontal", "vertical"]),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=crop_size, keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
dataset = dict(type="BaseSegDataset", data_root=data_root, metainfo=metainfo, reduce_zero_label=True)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"), pipeline=train_pipeline, **dataset
    ),
)
val_dataloader = dict(
    train_dataloader,
    batch_size=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"), pipeline=test_pipeline, **dataset
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator

max_iters = 1300
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=6e-4, betas=(0.9, 0.98), weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=1.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=max_iters, T_max=max_iters),
]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=650))
env_cfg = dict(dist_cfg=dict(backend="gloo"))
