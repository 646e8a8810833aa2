# Cascade Mask R-CNN with BEiT-3 giant and ViTDet's feature pyramid and windows on COCO, 20 epochs after an Objects365 stage:
# the BEiT-3 paper's recipe (arXiv 2208.10442, appendix), which gave 63.7 box AP and 54.8 mask AP on test-dev with multi-scale
# testing. We have not trained it; the giant's weights were never released.
# Sources: BEiT-3 paper: longest side 1280 pixels in training, learning rate 5e-5, 20 epochs, warm-up over 250 iterations, layer
# decay 0.9, batch size 64, weight decay 0.1, drop path 0.6, soft-NMS.
# Our choice, because the paper does not state it: windows of 16 patches with ten evenly spaced global blocks; heads and
# large-scale jitter 0.1 to 2 as in ViTDet; learning rate lowered by a factor of 10 at epochs 18 and 19, the same fractions of
# the schedule as in ViTDet.
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
# Scales and flips for test-time augmentation. The paper does not state its scales.
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
