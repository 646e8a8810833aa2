# Cascade Mask R-CNN with BEiT-3 base and ViT-Adapter on COCO, 12 epochs. Not trained here; nobody has published BEiT-3 base or
# large on COCO.
# Sources: optimizer, windows of 14 with a global block at the end of each group, last ViT features and learning rates as in
# ViT-Adapter's detection recipes (AdamW 1e-4, weight decay 0.05, warm-up 500, decay at epochs 8 and 11, no clipping); layer
# decay 0.65 as its only base model with multi-modal pretraining (Uni-Perceiver B), drop path 0.2 the same.
# Chosen: the weights after image-text contrastive tuning, which BEiT-3's README recommends for pure vision tasks, and
# ImageNet's image statistics, which its vision fine-tuning uses (all that is not below is mmdet's or stands in the files of
# _base_).
_base_ = [
    "mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
    "../_base_/models/adapter-b_rcnn.py",
    "../_base_/mmbeit3.py",
]
checkpoint = _base_.adapter.vit.init_cfg.checkpoint  # base, after contrastive tuning
model = dict(backbone=dict(_base_.pop("adapter"), _delete_=True), neck=dict(in_channels=[768] * 4))
optim_wrapper = dict(_base_.pop("adapter_optim_wrapper"), _delete_=True)
default_hooks = dict(checkpoint=dict(type="mmbeit3.SafeCheckpointHook", max_keep_ckpts=2))
