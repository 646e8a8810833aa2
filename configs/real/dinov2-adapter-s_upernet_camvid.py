# UperNet with a DINOv2 ViT-S/14 in a ViT-Adapter on CamVid. The ViT is trained, too.
# Scores and cost: docs/real-images.md.
# Our choice: all values.
_base_ = [
    "../_base_/models/upernet_seg.py",
    "../_base_/models/adapter-s_dinov2.py",
    "../_base_/datasets/camvid.py",
    "../_base_/seg_runtime.py",
    "../_base_/schedules/real.py",
]
num_classes = 11
norm_cfg = dict(type="BN", requires_grad=True)
# Rare classes weigh more, by the inverse square root of their share of pixels; the Lovasz loss counts all classes alike.
__class_weight = [0.34, 0.29, 1.42, 0.25, 0.66, 0.45, 1.3, 1.33, 0.58, 1.76, 2.61]
__cross_entropy = dict(type="CrossEntropyLoss", class_weight=__class_weight)
__lovasz = dict(type="LovaszLoss", reduction="none")
__head = dict(num_classes=num_classes, norm_cfg=norm_cfg)
model = dict(
    # Batches are padded to whole patches.
    data_preprocessor=dict(size=None, size_divisor=28),
    backbone=_base_.pop("adapter"),
    decode_head=dict(in_channels=[384] * 4, channels=96, loss_decode=[__cross_entropy, __lovasz], **__head),
    auxiliary_head=dict(in_channels=384, channels=64, loss_decode=dict(__cross_entropy, loss_weight=0.4), **__head),
    # Windows of the size of the training crops: 2 mIoU more than with whole images.
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
