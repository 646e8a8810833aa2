# Image loading of the image-text tasks at 480 x 480 pixels: random crop and flip in training, the whole image resized in tests.
# A dataset file puts the steps into its pipelines with `_base_.pop("load_train")` and `_base_.pop("load_test")`.
image_size = 480
tokenizer = "checkpoints/beit3.spm"
load_train = [
    dict(type="mmbeit3.LoadImageOrFail"),
    dict(
        type="mmpretrain.RandomResizedCrop",
        scale=image_size,
        crop_ratio_range=(0.5, 1.0),
        backend="pillow",
        interpolation="bicubic",
    ),
    dict(type="RandomFlip", prob=0.5),
]
load_test = [
    dict(type="mmbeit3.LoadImageOrGrey"),
    dict(type="Resize", scale=(image_size, image_size), backend="pillow", interpolation="bicubic"),
]
