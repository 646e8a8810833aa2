# Cascade Mask R-CNN with a BEiT-3 base ViT-Adapter on COCO, 12 epochs. We have not trained it, and there are no published COCO
# results of BEiT-3 base or large.
# Differs from mmdet's cascade-mask-rcnn_r50_fpn_1x_coco.py in: the backbone, the optimizer, and our heads, which have the results
# of mmdet's with fewer waits for the GPU.
# Sources: ViT-Adapter's detection recipes: windows of 14 patches with one global block at the end of each group, features of
# the ViT's last block, AdamW with learning rate 1e-4 and weight decay 0.05, warm-up over 500 iterations, decay at epochs 8 and
# 11, no clipping. Layer decay 0.65 and drop path 0.2 are those of ViT-Adapter's only base model with multi-modal pretraining
# (Uni-Perceiver B).
# Our choice: weights after image-text contrastive tuning, which BEiT-3's README recommends for pure vision tasks, and
# ImageNet's image statistics, which BEiT-3's vision fine-tuning uses.
_base_ = [
    "mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
    "../_base_/models/adapter-b_rcnn.py",
    "../_base_/models/rcnn_heads.py",
    "../_base_/mmbeit3.py",
]
__stage = _base_.pop("rcnn_heads")  # the types of all stages
__head, __sampling = __stage.roi_head.bbox_head, __stage.train_cfg.rcnn
_base_.cascade_heads.roi_head.bbox_head = [
    dict(stage, type=__head.type, bbox_coder=dict(stage.bbox_coder, **__head.bbox_coder))
    for stage in _base_.model.roi_head.bbox_head
]
_base_.cascade_heads.train_cfg.rcnn = [
    dict(
        stage,
        assigner=dict(stage.assigner, **__sampling.assigner),
        sampler=dict(stage.sampler, **__sampling.sampler),
    )
    for stage in _base_.model.train_cfg.rcnn
]
checkpoint = _base_.adapter.vit.init_cfg.checkpoint  # base, after contrastive tuning
model = dict(
    _base_.pop("cascade_heads"),
    backbone=dict(_base_.pop("adapter"), _delete_=True),
    neck=dict(in_channels=[768] * 4),
)
optim_wrapper = dict(_base_.pop("adapter_optim_wrapper"), _delete_=True)
default_hooks = dict(checkpoint=dict(type="mmbeit3.SafeCheckpointHook", max_keep_ckpts=2))
