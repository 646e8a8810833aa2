# UperNet with BEiT-3 large at 512. Sources: ViT-Adapter's UperNet recipes for large models (rate 2e-5, layer decay 0.9, drop path
# 0.3). Not trained here.
_base_ = "./beit3-adapter-b_upernet_8xb2-160k_ade20k-512x512.py"
model = dict(
    backbone=dict(
        vit=dict(
            arch="large",
            image_size=512,
            drop_path_rate=0.3,
            with_cp=True,
            init_cfg=dict(
                checkpoint="https://github.com/addf400/files/releases/download/beit3/beit3_large_itc_patch16_224.pth"
            ),
        ),
        interaction_indexes=((0, 5), (6, 11), (12, 17), (18, 23)),
        deform_num_heads=16,
        drop_path_rate=0.3,
        with_cp=True,
    ),
    decode_head=dict(in_channels=[1024] * 4),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(lr=2e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
