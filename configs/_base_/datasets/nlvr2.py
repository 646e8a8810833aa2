# NLVR2 at 224 pixels: training images in images/train/DIRECTORY, those of dev and test-P (test1.json) in images/dev and images/test1;
# annotations from the repository lil-lab/nlvr.
image_size = 224
tokenizer = "checkpoints/beit3.spm"
train_pipeline = [
    dict(
        type="mmpretrain.ApplyToList",
        scatter_key="img_path",
        collate_keys=["img"],
        transforms=[
            dict(type="mmbeit3.LoadImageOrFail"),
            dict(
                type="mmpretrain.RandomResizedCrop",
                scale=image_size,
                crop_ratio_range=(0.5, 1.0),
                backend="pillow",
                interpolation="bicubic",
            ),
            dict(type="RandomFlip", prob=0.5),
        ],
    ),
    dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="text"),
    dict(type="mmbeit3.PackTask", meta=("identifier", "gt_label")),
]
test_pipeline = [
    dict(
        type="mmpretrain.ApplyToList",
        scatter_key="img_path",
        collate_keys=["img", "unreadable"],
        transforms=[
            dict(type="mmbeit3.LoadImageOrGrey"),
            dict(type="Resize", scale=(image_size, image_size), backend="pillow", interpolation="bicubic"),
        ],
    ),
    dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="text"),
    dict(type="mmbeit3.PackTask", meta=("identifier", "gt_label")),
]
loader = dict(num_workers=8, persistent_workers=True, collate_fn=dict(type="mmbeit3.collate_samples"))
train_dataloader = dict(
    batch_size=32,
    sampler=dict(type="DefaultSampler", shuffle=True),
    drop_last=True,
    dataset=dict(
        type="mmbeit3.NLVR2",
        data_root="data/nlvr2",
        ann_file="data/train.json",
        data_prefix=dict(img_path="images/train"),
        pipeline=train_pipeline,
    ),
    **loader,
)
val_dataloader = dict(
    batch_size=48,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="mmbeit3.NLVR2",
        data_root="data/nlvr2",
        ann_file="data/dev.json",
        data_prefix=dict(img_path="images/dev"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
    **loader,
)
test_dataloader = dict(
    batch_size=48,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="mmbeit3.NLVR2",
        data_root="data/nlvr2",
        ann_file="data/test1.json",
        data_prefix=dict(img_path="images/test1"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
    **loader,
)
val_evaluator = dict(type="mmbeit3.LabelAccuracy")
test_evaluator = val_evaluator
