# Cascade R-CNN with BEiT-3 giant and ViTDet's feature pyramid on Objects365 at 1024 pixels, 15 epochs: the first stage of the
# BEiT-3 paper's COCO recipe. Boxes only, because the data set has no masks. We have not trained it.
# Sources: BEiT-3 paper: learning rate 1e-4, 15 epochs, warm-up over 250 iterations, layer decay 0.9, batch size 64, weight
# decay 0.1, drop path 0.6.
# Our choice, because the paper does not state it: learning rate lowered at epochs 13 and 14; windows, heads and jitter as in
# ../coco/cascade-mask-rcnn_beit3-g_vitdet_o365-1280_coco.py.
_base_ = [
    "../_base_/models/cascade-rcnn_vitdet.py",
    "mmdet::_base_/datasets/objects365v2_detection.py",
    "../_base_/schedules/vitdet.py",
]
image_size = (1024, 1024)
model = dict(
    data_preprocessor=dict(pad_mask=False, batch_augments=[dict(type="BatchFixedSizePad", size=image_size)]),
    backbone=dict(
        image_size=1024,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/beit3_giant_patch14_224.pth"),
    ),
    roi_head=dict(
        bbox_head=[dict(head, num_classes=365) for head in _base_.model.roi_head.bbox_head],
        mask_roi_extractor=None,
        mask_head=None,
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
_base_.param_scheduler[1].update(end=15, milestones=[13, 14])
optim_wrapper = dict(optimizer=dict(lr=1e-4))
