# How the tasks of images and texts load an image, at 480 pixels: in training a random crop and flip, in tests the whole image
# resized. A file of a dataset puts the steps into its pipelines with `_base_.pop("load_train")` and `_base_.pop("load_test")`.
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
