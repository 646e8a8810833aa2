# BCCD: microscope photographs of blood of 640 x 480 pixels, with boxes of red cells, white cells and platelets. `python
# tools/prepare_data.py bccd` writes data/bccd.
# Our choice: images at about half their size.
_base_ = "./coco_files.py"
data_root = "data/bccd/"
metainfo = dict(classes=("RBC", "WBC", "Platelets"), palette=[(220, 60, 60), (90, 60, 200), (240, 170, 30)])
image_scale = (336, 252)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomResize", scale=image_scale, ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
__common = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **__common))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **__common))
test_dataloader = val_dataloader
val_evaluator = dict(type="CocoMetric", ann_file=data_root + "val.json", metric="bbox")
test_evaluator = val_evaluator
