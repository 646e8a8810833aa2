# Mask R-CNN with a tiny BEiT-3 ViT-Adapter on a few COCO images, from random weights on two CPU cores. A check that takes
# minutes: are annotations read correctly, and do all parts of the model learn? The same images are used for training and
# evaluation, so the score says nothing about other images.
# Differs from ../shapes/mask-rcnn_beit3-adapter-t_shapes.py in: the data, the image size, 400 iterations, and more boxes per
# image.
# Our choice: all values.
_base_ = "../shapes/mask-rcnn_beit3-adapter-t_shapes.py"
data_root = "data/coco_few/"
ann_file = "annotations/instances_val2017.json"
num_classes = 80
model = dict(
    backbone=dict(vit=dict(image_size=480)),
    roi_head=dict(bbox_head=dict(num_classes=num_classes), mask_head=dict(num_classes=num_classes)),
    train_cfg=dict(rcnn=dict(sampler=dict(num=128))),
    test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=300)),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(480, 480), keep_ratio=True),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(480, 480), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
dataset = dict(
    data_root=data_root, ann_file=ann_file, data_prefix=dict(img="val2017/"), metainfo=dict(_delete_=True), filter_cfg=None
)
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type="InfiniteSampler"),
    dataset=dict(pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(batch_size=1, dataset=dict(pipeline=test_pipeline, **dataset))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + ann_file)
test_evaluator = val_evaluator

max_iters = 400
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=max_iters, T_max=max_iters),
]
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
