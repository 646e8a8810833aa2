# ImageNet-1k at 224 x 224 pixels. The augmentation is timm's rand-m9-mstd0.5-inc1 with random erasing, built from mmpretrain's
# transforms.
_base_ = "./loaders.py"
image_size = 224
randaug_policies = [
    dict(type="mmpretrain.AutoContrast"),
    dict(type="mmpretrain.Equalize"),
    dict(type="mmpretrain.Invert"),
    dict(type="mmpretrain.Rotate", magnitude_range=(0, 30)),
    dict(type="mmpretrain.Posterize", magnitude_range=(4, 0)),
    dict(type="mmpretrain.Solarize", magnitude_range=(256, 0)),
    dict(type="mmpretrain.SolarizeAdd", magnitude_range=(0, 110)),
    dict(type="mmpretrain.ColorTransform", magnitude_range=(0, 0.9)),
    dict(type="mmpretrain.Contrast", magnitude_range=(0, 0.9)),
    dict(type="mmpretrain.Brightness", magnitude_range=(0, 0.9)),
    dict(type="mmpretrain.Sharpness", magnitude_range=(0, 0.9)),
    dict(type="mmpretrain.Shear", magnitude_range=(0, 0.3), direction="horizontal"),
    dict(type="mmpretrain.Shear", magnitude_range=(0, 0.3), direction="vertical"),
    dict(type="mmpretrain.Translate", magnitude_range=(0, 0.45), direction="horizontal"),
    dict(type="mmpretrain.Translate", magnitude_range=(0, 0.45), direction="vertical"),
]
train_pipeline = [
    dict(type="mmbeit3.LoadImageOrFail"),
    dict(type="mmpretrain.RandomResizedCrop", scale=image_size, backend="pillow", interpolation="bicubic"),
    dict(type="RandomFlip", prob=0.5),
    dict(
        type="mmpretrain.RandAugment",
        policies=randaug_policies,
        num_policies=2,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[104, 116, 124], interpolation="bicubic"),
    ),
    dict(
        type="mmpretrain.RandomErasing",
        erase_prob=0.25,
        mode="rand",
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=[103.53, 116.28, 123.675],
        fill_std=[57.375, 57.12, 58.395],
    ),
    dict(type="mmbeit3.PackTask", meta=("gt_label",)),
]
test_pipeline = [
    dict(type="mmbeit3.LoadImageOrGrey"),
    dict(type="mmpretrain.ResizeEdge", scale=image_size, backend="pillow", interpolation="bicubic"),
    dict(type="CenterCrop", crop_size=image_size),
    dict(type="mmbeit3.PackTask", meta=("gt_label",)),
]
train_dataloader = dict(
    batch_size=128,
    dataset=dict(type="mmpretrain.ImageNet", data_root="data/imagenet", split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=192,
    dataset=dict(type="mmpretrain.ImageNet", data_root="data/imagenet", split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="mmbeit3.LabelAccuracy", topk=(1, 5))
test_evaluator = val_evaluator
