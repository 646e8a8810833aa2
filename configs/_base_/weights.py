# URLs of the released weights that the configs start from. Each size has weights after masked data modeling, and weights after
# image-text contrastive tuning on top of it (itc). A config takes a URL with `_base_.pop("weights")`, which also keeps the
# table out of the resulting config.
weights = dict(
    base="https://github.com/addf400/files/releases/download/beit3/beit3_base_patch16_224.pth",
    large="https://github.com/addf400/files/releases/download/beit3/beit3_large_patch16_224.pth",
    base_itc="https://github.com/addf400/files/releases/download/beit3/beit3_base_itc_patch16_224.pth",
    large_itc="https://github.com/addf400/files/releases/download/beit3/beit3_large_itc_patch16_224.pth",
)
