# Mask2Former with a DINOv2 ViT-S/14 in a ViT-Adapter on CamVid. The ViT is trained, too.
# Scores and cost: docs/real-images.md.
# Our choice: all values.
_base_ = [
    "../_base_/models/small_mask2former.py",
    "../_base_/models/adapter-s_dinov2.py",
    "../_base_/datasets/camvid.py",
    "../_base_/seg_runtime.py",
    "../_base_/schedules/real.py",
]
num_classes = 11
model = dict(
    # Batches are padded to whole patches.
    data_preprocessor=dict(size=None, size_divisor=28),
    backbone=_base_.pop("adapter"),
    decode_head=dict(
        in_channels=[384] * 4,
        num_classes=num_classes,
        num_queries=22,
        loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]),
        train_cfg=dict(num_points=4096),
    ),
    test_cfg=_base_.pop("windows"),
)
max_epochs = 8
train_cfg = dict(_delete_=True, type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=max_epochs)
log_processor = dict(by_epoch=True)
default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=True),
    checkpoint=dict(by_epoch=True, interval=1, max_keep_ckpts=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=max_epochs, T_max=max_epochs, convert_to_iter_based=True),
]
