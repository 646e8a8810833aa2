# mask-rcnn with BEiT-3 base and ViT-Adapter, 12 epochs. Not trained here; nobody has published BEiT-3 base or large on COCO.
# Sources: optimizer, windows of 14 with a global block at the end of each group, last ViT features and learning rates as in
# ViT-Adapter's detection recipes (AdamW 1e-4, weight decay 0.05, warm-up 500, decay at epochs 8 and 11, no clipping); layer
# decay 0.65 as its only base model with multi-modal pretraining (Uni-Perceiver B), drop path 0.2 the same.
# Chosen: the weights after image-text contrastive tuning, which BEiT-3's README recommends for pure vision tasks, and ImageNet's
# image statistics, which its vision fine-tuning uses (both are mmdet's defaults or stand below).
_base_ = ["mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", "../_base_/mmbeit3.py"]
checkpoint = "https://github.com/addf400/files/releases/download/beit3/beit3_base_itc_patch16_224.pth"
model = dict(
    backbone=dict(
        _delete_=True,
        type="mmbeit3.ViTAdapter",
        vit=dict(
            type="mmbeit3.BEiT3Vision",
            arch="base",
            window_size=14,
            global_indices=(2, 5, 8, 11),
            drop_path_rate=0.2,
            init_cfg=dict(type="Pretrained", checkpoint=checkpoint),
        ),
        interaction_indexes=((0, 2), (3, 5), (6, 8), (9, 11)),
        vit_feature="last",
        drop_path_rate=0.2,
    ),
    neck=dict(in_channels=[768] * 4),
)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.65),
)
default_hooks = dict(checkpoint=dict(type="mmbeit3.SafeCheckpointHook", max_keep_ckpts=2))
