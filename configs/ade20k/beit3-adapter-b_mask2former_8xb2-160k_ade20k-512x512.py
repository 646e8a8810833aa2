# mask2former with BEiT-3 base and ViT-Adapter on ADE20K at 512. Not trained here; nobody has published BEiT-3 base or large on ADE20K.
# Sources: schedule (160k, warm-up 1500, linear decay to 0, batch 16, no clipping), drop path 0.2 and layer decay 0.95 as
# ViT-Adapter's BEiT base with Mask2Former; rate 3e-5 the same. Global attention, as its segmentation has.
# Chosen: weights after image-text contrastive tuning, as BEiT-3's README recommends for pure vision tasks.
_base_ = ["../_base_/models/mask2former_seg.py", "../_base_/datasets/ade20k.py", "../_base_/seg_runtime.py"]
model = dict(
    backbone=dict(
        type="mmbeit3.ViTAdapter",
        vit=dict(
            type="mmbeit3.BEiT3Vision",
            arch="base",
            image_size=512,
            drop_path_rate=0.2,
            init_cfg=dict(
                type="Pretrained",
                checkpoint="https://github.com/addf400/files/releases/download/beit3/beit3_base_itc_patch16_224.pth",
            ),
        ),
        interaction_indexes=((0, 2), (3, 5), (6, 8), (9, 11)),
        drop_path_rate=0.2,
    ),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=3e-5, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.95),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=1500, end=160000),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
