# Mask R-CNN with a BEiT-3 ViT-Adapter on your own data. mmbeit3.recipes completes it: folders, classes, size of the ViT,
# image size, epochs and warm-up, see docs/own-data.md.
# Differs from ../../coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py in: images of 640 pixels at varying scales, batch 2, and a
# cosine schedule.
# Our choice: all values that are not in that file.
_base_ = "../../coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py"
_base_.pop("checkpoint")
data_root = "data/mine/"
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomResize", scale=(640, 640), ratio_range=(0.8, 1.2), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(640, 640), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
__common = dict(data_root=data_root, data_prefix=dict(img="images/"))
train_dataloader = dict(batch_size=2, dataset=dict(ann_file="train.json", pipeline=train_pipeline, **__common))
val_dataloader = dict(dataset=dict(ann_file="val.json", pipeline=test_pipeline, **__common))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "val.json")
test_evaluator = val_evaluator

optim_wrapper = dict(clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=12, T_max=12, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=2)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=2, save_best="coco/segm_mAP", rule="greater"))
