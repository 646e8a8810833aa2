# The paper's COCO recipe for BEiT-3 giant (arXiv 2208.10442, appendix): ViTDet's pyramid and windows, Cascade Mask R-CNN, from
# an Objects365 stage, longest training side 1280, soft-NMS. Paper: 63.7 box AP and 54.8 mask AP on test-dev with multi-scale
# testing. Not trained here; the giant's weights were never released.
# From the paper: lr 5e-5, 20 epochs, warm-up 250 iterations, layer decay 0.9, batch 64, weight decay 0.1, drop path 0.6.
# Unstated in the paper, chosen: windows of 16 patches with ten global blocks at even distances; heads and large-scale jitter
# 0.1 to 2 as ViTDet; drops of the rate by 10 at epochs 18 and 19, ViTDet's fractions of its schedule.
_base_ = ["../_base_/models/cascade-rcnn_vitdet.py", "mmdet::_base_/datasets/coco_instance.py", "../_base_/schedules/vitdet.py"]
load_from = "work_dirs/cascade-rcnn_beit3-g_vitdet_1024_objects365/epoch_15.pth"
image_size = (1280, 1280)
model = dict(
    data_preprocessor=dict(batch_augments=[dict(type="BatchFixedSizePad", size=image_size, pad_mask=True)]),
    backbone=dict(image_size=1280),
    test_cfg=dict(rcnn=dict(nms=dict(type="soft_nms", iou_threshold=0.5), score_thr=0.001)),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomResize", scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_type="absolute_range", crop_size=image_size, recompute_bbox=True, allow_negative_crop=True),
    dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=image_size, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
# Multi-scale and flip at test time. The paper's own scales are unstated.
tta_model = dict(type="mmbeit3.InstanceTTAModel")
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale=(s, s), keep_ratio=True) for s in (960, 1120, 1280, 1440)],
            [dict(type="RandomFlip", prob=1.0), dict(type="RandomFlip", prob=0.0)],
            [
                dict(
                    type="PackDetInputs",
                    meta_keys=(
                        "img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction",
                    ),
                )
            ],
        ],
    ),
]  # fmt: skip
train_cfg = dict(max_epochs=20)
_base_.param_scheduler[1].update(end=20, milestones=[18, 19])
optim_wrapper = dict(optimizer=dict(lr=5e-5))
