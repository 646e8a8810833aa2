# As the base config, with BEiT-3 large. Sources: 24 blocks in four groups, windows, 16 deformable heads, layer decay 0.8 and drop
# path 0.4 as ViT-Adapter's large detectors (AugReg L). Not trained here.
_base_ = "./mask-rcnn_beit3-adapter-b_fpn_ms-3x_coco.py"
model = dict(
    backbone=dict(
        vit=dict(
            arch="large",
            global_indices=(5, 11, 17, 23),
            drop_path_rate=0.4,
            with_cp=True,
            init_cfg=dict(
                checkpoint="https://github.com/addf400/files/releases/download/beit3/beit3_large_itc_patch16_224.pth"
            ),
        ),
        interaction_indexes=((0, 5), (6, 11), (12, 17), (18, 23)),
        deform_num_heads=16,
        drop_path_rate=0.4,
    ),
    neck=dict(in_channels=[1024] * 4),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
