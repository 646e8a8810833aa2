# First stage of ViT-Adapter's 896 recipe: COCO-Stuff-164k, 80k iterations, 200 queries (BEiTv2-L: 52.3 mIoU). Not trained here.
_base_ = [
    "../_base_/models/mask2former_seg.py",
    "../_base_/datasets/coco-stuff164k.py",
    "../_base_/seg_runtime.py",
]
num_classes = 171
width = 1024
crop_size = (896, 896)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(3584, 896), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(3584, 896), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale=(3584, s), keep_ratio=True) for s in (640, 768, 896)],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        type="mmbeit3.ViTAdapter",
        vit=dict(
            type="mmbeit3.BEiT3Vision",
            arch="large",
            image_size=896,
            drop_path_rate=0.3,
            with_cp=True,
            init_cfg=dict(
                type="Pretrained",
                checkpoint="https://github.com/addf400/files/releases/download/beit3/beit3_large_itc_patch16_224.pth",
            ),
        ),
        interaction_indexes=((0, 5), (6, 11), (12, 17), (18, 23)),
        deform_num_heads=16,
        drop_path_rate=0.3,
        with_cp=True,
    ),
    decode_head=dict(
        in_channels=[1024] * 4,
        num_classes=num_classes,
        num_queries=200,
        loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]),
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
    test_cfg=dict(mode="slide", crop_size=crop_size, stride=(512, 512)),
)
train_cfg = dict(max_iters=80000)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-5, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.9),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=1500, end=80000),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
