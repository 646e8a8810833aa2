# Captions of COCO in Karpathy's splits at 480 pixels. Scores are our own; for METEOR, ROUGE-L and SPICE set backend="pycocoevalcap".
image_size = 480
tokenizer = "checkpoints/beit3.spm"
randaug_policies = [
    dict(type="mmpretrain.AutoContrast", prob=0.0),  # the identity, one of the released code's operations
    dict(type="mmpretrain.AutoContrast"),
    dict(type="mmpretrain.Equalize"),
    dict(type="mmpretrain.Brightness", magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
    dict(type="mmpretrain.Sharpness", magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
    dict(type="mmpretrain.Shear", magnitude_range=(0, 0.3), direction="horizontal"),
    dict(type="mmpretrain.Shear", magnitude_range=(0, 0.3), direction="vertical"),
    dict(type="mmpretrain.Rotate", magnitude_range=(0, 30)),
    dict(type="mmpretrain.Translate", magnitude_range=(0, 10 / image_size), direction="horizontal"),
    dict(type="mmpretrain.Translate", magnitude_range=(0, 10 / image_size), direction="vertical"),
]
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
    dict(type="mmpretrain.RandAugment", policies=randaug_policies, num_policies=2, magnitude_level=7),
    dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="gt_caption", max_length=32),
    dict(type="mmbeit3.PackTask", meta=("image_id",)),
]
test_pipeline = [
    dict(type="mmbeit3.LoadImageOrGrey"),
    dict(type="Resize", scale=(image_size, image_size), backend="pillow", interpolation="bicubic"),
    dict(type="mmbeit3.PackTask", meta=("image_id", "gt_captions")),
]
karpathy = dict(type="mmbeit3.KarpathyCaptions", data_root="data/coco", ann_file="dataset_coco.json")
loader = dict(num_workers=8, persistent_workers=True, collate_fn=dict(type="mmbeit3.collate_samples"))
train_dataloader = dict(
    batch_size=32,
    sampler=dict(type="DefaultSampler", shuffle=True),
    drop_last=True,
    dataset=dict(splits=("train", "restval"), pipeline=train_pipeline, **karpathy),
    **loader,
)
val_dataloader = dict(
    batch_size=48,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(splits=("val",), test_mode=True, pipeline=test_pipeline, **karpathy),
    **loader,
)
test_dataloader = dict(
    batch_size=48,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(splits=("test",), test_mode=True, pipeline=test_pipeline, **karpathy),
    **loader,
)
val_evaluator = dict(type="mmbeit3.CaptionScores")
test_evaluator = dict(type="mmbeit3.CaptionScores", submission="work_dirs/coco_captions_test.json")
