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
model = dict(
    backbone=dict(_base_.pop("adapter"), _delete_=True),
    neck=dict(in_channels=[384] * 4),
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
)
train_cfg = _base_.pop("epochs")
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(_delete_=True, type="mmbeit3.SafeCheckpointHook", interval=_base_.max_epochs, max_keep_ckpts=2),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.65))
