# The paper's first stage of its COCO recipe: Objects365 at 1024, boxes only, as the dataset has no masks. Not trained here.
# From the paper: lr 1e-4, 15 epochs, warm-up 250 iterations, layer decay 0.9, batch 64, weight decay 0.1, drop path 0.6.
# Unstated, chosen: as in coco/cascade-mask-rcnn_beit3-g_vitdet_o365-1280_coco.py; drops of the rate at epochs 13 and 14.
_base_ = [
    "mmdet::_base_/models/cascade-rcnn_r50_fpn.py",
    "mmdet::_base_/datasets/objects365v2_detection.py",
    "mmdet::_base_/schedules/schedule_1x.py",
    "mmdet::_base_/default_runtime.py",
    "../_base_/mmbeit3.py",
]
image_size = (1024, 1024)
model = dict(
    data_preprocessor=dict(batch_augments=[dict(type="BatchFixedSizePad", size=image_size)]),
    backbone=dict(
        _delete_=True,
        type="mmbeit3.BEiT3Vision",
        arch="giant",
        image_size=1024,
        window_size=16,
        global_indices=(3, 7, 11, 15, 19, 23, 27, 31, 35, 39),
        drop_path_rate=0.6,
        with_cp=True,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/beit3_giant_patch14_224.pth"),
    ),
    neck=dict(_delete_=True, type="mmbeit3.SimpleFeaturePyramid", in_channels=1408),
    rpn_head=dict(anchor_generator=dict(scales=[8], strides=[3.5, 7, 14, 28, 56])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[3.5, 7, 14, 28]),
        bbox_head=[
            dict(
                type="Shared2FCBBoxHead",
                in_channels=256,
                fc_out_channels=1024,
                roi_feat_size=7,
                num_classes=365,
                bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=stds),
                reg_class_agnostic=True,
                loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
                loss_bbox=dict(type="SmoothL1Loss", beta=1.0, loss_weight=1.0),
            )
            for stds in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067])
        ],
    ),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomResize", scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_type="absolute_range", crop_size=image_size, recompute_bbox=True, allow_negative_crop=True),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=15)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type="MultiStepLR", begin=0, end=15, by_epoch=True, milestones=[13, 14], gamma=0.1),
]
optim_wrapper = dict(
    _delete_=True,
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.9),
)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(checkpoint=dict(type="mmbeit3.SafeCheckpointHook", max_keep_ckpts=2))
