# Mask R-CNN with a DINOv2 ViT-S/14 in a ViT-Adapter on the nuclei of the Data Science Bowl 2018. The ViT is trained, too.
# Scores and cost: docs/real-images.md.
# Our choice: all values.
_base_ = [
    "../_base_/models/small_rcnn.py",
    "../_base_/models/adapter-s_dinov2.py",
    "../_base_/datasets/nuclei.py",
    "mmdet::_base_/default_runtime.py",
    "../_base_/mmbeit3.py",
    "../_base_/schedules/real.py",
]
# Batch norm would learn from batches of two, and the kinds of images differ much: 25.6 mask AP, and 33.1 with group norm.
norm_cfg = dict(type="GN", num_groups=8)
model = dict(
    backbone=dict(_base_.pop("adapter"), _delete_=True, norm_cfg=norm_cfg),
    neck=dict(in_channels=[384] * 4),
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
    # Some images have hundreds of nuclei.
    test_cfg=dict(rcnn=dict(max_per_img=500)),
)
max_epochs = 4
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(_delete_=True, type="mmbeit3.SafeCheckpointHook", interval=1, max_keep_ckpts=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=max_epochs, T_max=max_epochs, convert_to_iter_based=True),
]
