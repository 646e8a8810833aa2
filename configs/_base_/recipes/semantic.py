# UperNet with a BEiT-3 ViT-Adapter on your own label images. mmbeit3.recipes completes it: folders, classes, size of the ViT,
# image size, epochs and warm-up, see docs/own-data.md.
# Differs from ../../ade20k/beit3-adapter-b_upernet_8xb2-160k_ade20k-512x512.py in: crops of 640 pixels, whole images in
# testing, epochs instead of iterations, and a cosine schedule.
# Our choice: all values that are not in that file.
_base_ = ["../models/upernet_seg.py", "../models/adapter-b.py", "../schedules/seg_160k.py"]
data_root = "data/mine/"
crop_size = (640, 640)
model = dict(
    # Batches are padded to a multiple of 32 and not to the crop, because images may be smaller.
    data_preprocessor=dict(size=None, size_divisor=32),
    backbone=_base_.pop("adapter"),
    test_cfg=dict(_delete_=True, mode="whole"),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=crop_size, ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=crop_size, keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
__common = dict(type="BaseSegDataset", data_root=data_root, img_suffix=".jpg", seg_map_suffix=".png", reduce_zero_label=False)
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    # UperNet cannot train on a batch of one, which the last one of an epoch may be.
    drop_last=True,
    dataset=dict(data_prefix=dict(img_path="images/train", seg_map_path="labels/train"), pipeline=train_pipeline, **__common),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(data_prefix=dict(img_path="images/val", seg_map_path="labels/val"), pipeline=test_pipeline, **__common),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator

train_cfg = dict(_delete_=True, type="EpochBasedTrainLoop", max_epochs=12, val_interval=12)
optim_wrapper = dict(optimizer=dict(lr=6e-5), clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=12, T_max=12, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=2)
log_processor = dict(by_epoch=True)
default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=True), checkpoint=dict(by_epoch=True, interval=12, max_keep_ckpts=2)
)
