# Mask2Former for panoptic segmentation with a BEiT-3 base ViT-Adapter on COCO, 50 epochs. We have not trained it.
# Differs from mmdet's mask2former_r50_8xb2-lsj-50e_coco-panoptic.py in: the backbone, layer decay, our head, which has the
# results of mmdet's with fewer waits for the GPU, and our loader and metric for panoptic segments.
# Sources: Mask2Former (mmdet): head, losses, schedule and augmentation. The backbone is that of
# mask-rcnn_beit3-adapter-b_fpn_1x_coco.py.
# Our choice: layer decay 0.9, as in ViT-Adapter's panoptic Mask2Former.
_base_ = [
    "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py",
    "../_base_/models/adapter-b.py",
    "../_base_/mmbeit3.py",
]
_base_.adapter.vit.update(image_size=1024, window_size=14, global_indices=(2, 5, 8, 11))
model = dict(
    backbone=dict(_base_.pop("adapter"), _delete_=True),
    panoptic_head=dict(
        type="mmbeit3.Mask2FormerHead",
        in_channels=[768] * 4,
        pixel_decoder=dict(type="mmbeit3.MSDeformAttnPixelDecoder"),
    ),
)
optim_wrapper = dict(
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor", paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.9)
)
default_hooks = dict(checkpoint=dict(type="mmbeit3.SafeCheckpointHook"))
# mmdet's own transform and metric need panopticapi, which is not on PyPI. The other steps are mmdet's.
train_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="mmbeit3.LoadPanopticAnnotations"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomResize", scale=(1024, 1024), ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(1024, 1024), crop_type="absolute", recompute_bbox=True, allow_negative_crop=True),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="mmbeit3.LoadPanopticAnnotations"),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type="mmbeit3.CocoPanopticQualityMetric",
        ann_file="data/coco/annotations/panoptic_val2017.json",
        seg_prefix="data/coco/annotations/panoptic_val2017/",
    ),
    dict(type="CocoMetric", ann_file="data/coco/annotations/instances_val2017.json", metric=["bbox", "segm"]),
]
test_evaluator = val_evaluator
