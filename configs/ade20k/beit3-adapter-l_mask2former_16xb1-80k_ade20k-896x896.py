# BEiT-3 large at 896, from the COCO-Stuff stage; its class layer, of another size, starts anew. Sources: ViT-Adapter's 896 recipe
# (BEiTv2-L: 61.2 mIoU), 80k iterations, batch 16. Not trained here.
_base_ = "../coco_stuff164k/beit3-adapter-l_mask2former_16xb1-80k_coco-stuff164k-896x896.py"
load_from = "work_dirs/beit3-adapter-l_mask2former_16xb1-80k_coco-stuff164k-896x896/iter_80000.pth"
num_classes = 150
crop_size = (896, 896)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(3584, 896), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(3584, 896), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale=(3584, s), keep_ratio=True) for s in (640, 768, 896)],
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
ade = dict(type="ADE20KDataset", data_root="data/ade/ADEChallengeData2016")
train_dataloader["dataset"].update(data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"), **ade)
val_dataloader["dataset"].update(data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"), **ade)
model = dict(decode_head=dict(num_classes=num_classes, loss_cls=dict(class_weight=[1.0] * num_classes + [0.1])))
