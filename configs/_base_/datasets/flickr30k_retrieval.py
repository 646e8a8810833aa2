# Retrieval on Flickr30k in Karpathy's splits at 384 pixels. In evaluation every image and every text is encoded once.
image_size = 384
tokenizer = "checkpoints/beit3.spm"
train_pipeline = [
    dict(type="mmbeit3.LoadImageOrFail"),
    dict(
        type="mmpretrain.RandomResizedCrop",
        scale=image_size,
        crop_ratio_range=(0.5, 1.0),
        backend="pillow",
        interpolation="bicubic",
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="text"),
    dict(type="mmbeit3.PackTask", meta=("image_id", "text_id")),
]
image_pipeline = [
    dict(type="mmbeit3.LoadImageOrGrey"),
    dict(type="Resize", scale=(image_size, image_size), backend="pillow", interpolation="bicubic"),
    dict(type="mmbeit3.PackTask", meta=("image_id",)),
]
text_pipeline = [
    dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="text"),
    dict(type="mmbeit3.PackTask", meta=("image_id", "text_id")),
]
data = dict(
    type="mmbeit3.KarpathyRetrieval",
    data_root="data/flickr30k",
    ann_file="dataset_flickr30k.json",
    data_prefix=dict(img_path="flickr30k-images"),
)
loader = dict(num_workers=8, persistent_workers=True, collate_fn=dict(type="mmbeit3.collate_samples"))
train_dataloader = dict(
    batch_size=192,
    sampler=dict(type="DefaultSampler", shuffle=True),
    drop_last=True,
    dataset=dict(splits=("train",), pipeline=train_pipeline, **data),
    **loader,
)
val_dataloader = dict(
    batch_size=192,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(splits=("val",), entries="images", test_mode=True, pipeline=image_pipeline, **data),
            dict(splits=("val",), entries="texts", test_mode=True, pipeline=text_pipeline, **data),
        ],
    ),
    **loader,
)
test_dataloader = dict(
    batch_size=192,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(splits=("test",), entries="images", test_mode=True, pipeline=image_pipeline, **data),
            dict(splits=("test",), entries="texts", test_mode=True, pipeline=text_pipeline, **data),
        ],
    ),
    **loader,
)
val_evaluator = dict(type="mmbeit3.ImageTextRecall")
test_evaluator = val_evaluator
