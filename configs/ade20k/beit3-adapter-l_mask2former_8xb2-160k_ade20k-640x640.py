# BEiT-3 large at 640. Sources: ViT-Adapter's Mask2Former with BEiT-L at 640 (rate 2e-5, layer decay 0.9, drop path 0.3, head of 1024
# channels and 32 heads), whose BEiT-L reached 58.3 mIoU. Not trained here.
_base_ = "./beit3-adapter-b_mask2former_8xb2-160k_ade20k-640x640.py"
width = 1024
model = dict(
    backbone=dict(
        vit=dict(
            arch="large",
            image_size=640,
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
    decode_head=dict(
        in_channels=[1024] * 4,
        feat_channels=width,
        out_channels=width,
        pixel_decoder=dict(
            encoder=dict(
                layer_cfg=dict(
                    self_attn_cfg=dict(embed_dims=width, num_heads=32),
                    ffn_cfg=dict(embed_dims=width, feedforward_channels=4 * width),
                )
            ),
            positional_encoding=dict(num_feats=width // 2),
        ),
        positional_encoding=dict(num_feats=width // 2),
        transformer_decoder=dict(
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=width, num_heads=32),
                cross_attn_cfg=dict(embed_dims=width, num_heads=32),
                ffn_cfg=dict(embed_dims=width, feedforward_channels=4 * width),
            )
        ),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=2e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
