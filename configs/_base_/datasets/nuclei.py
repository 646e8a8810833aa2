# Nuclei of the Data Science Bowl 2018: microscope images of many kinds, 256 to 1388 pixels, with masks. `python
# tools/prepare_data.py nuclei` writes data/nuclei.
# Images of 256 pixels are enlarged twice, as their nuclei are small. Random crops in training, whole images in testing.
# Our choice: all values.
_base_ = "./coco_files.py"
data_root = "data/nuclei/"
metainfo = dict(classes=("nucleus",), palette=[(240, 190, 40)])
image_scale = (1024, 512)
crop_size = (252, 252)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomResize", scale=image_scale, ratio_range=(0.7, 1.3), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
__common = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **__common))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **__common))
test_dataloader = val_dataloader
val_evaluator = dict(type="CocoMetric", ann_file=data_root + "val.json", metric=["bbox", "segm"])
test_evaluator = val_evaluator
