# Nuclei of the Data Science Bowl 2018: microscope images of many kinds, 256 to 1388 pixels, with masks. `python
# tools/prepare_data.py nuclei` writes data/nuclei.
# Small and large images are enlarged alike, as nuclei are small in both. Random crops in training, whole images in testing.
# Our choice: all values.
_base_ = "./coco_files.py"
data_root = "data/nuclei/"
metainfo = dict(classes=("nucleus",), palette=[(240, 190, 40)])
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    # Crops of 126 to 252 pixels become 252: enlarged 1 to 2 times. Cropping first spares enlarging hundreds of masks.
    dict(
        type="RandomChoice",
        transforms=[
            [dict(type="RandomCrop", crop_size=(size, size)), dict(type="Resize", scale=(252, 252), keep_ratio=True)]
            for size in (126, 144, 168, 202, 252)
        ],
    ),
    dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale_factor=1.5, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
__common = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **__common))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **__common))
test_dataloader = val_dataloader
val_evaluator = dict(type="CocoMetric", ann_file=data_root + "val.json", metric=["bbox", "segm"])
test_evaluator = val_evaluator
