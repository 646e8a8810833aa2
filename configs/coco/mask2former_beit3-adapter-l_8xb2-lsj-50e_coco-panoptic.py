# As the base config, with BEiT-3 large; drop path 0.4 as ViT-Adapter's panoptic Mask2Former L has. Not trained here.
_base_ = "./mask2former_beit3-adapter-b_8xb2-lsj-50e_coco-panoptic.py"
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
    panoptic_head=dict(in_channels=[1024] * 4),
)
