# Where the authors released the weights that the configs start from. Of each size there are those after masked data modeling
# and those after image-text contrastive tuning on top (itc). A config takes an address with `_base_.pop("weights")`, which
# keeps the table itself out of the config.
weights = dict(
    base="https://github.com/addf400/files/releases/download/beit3/beit3_base_patch16_224.pth",
    large="https://github.com/addf400/files/releases/download/beit3/beit3_large_patch16_224.pth",
    base_itc="https://github.com/addf400/files/releases/download/beit3/beit3_base_itc_patch16_224.pth",
    large_itc="https://github.com/addf400/files/releases/download/beit3/beit3_large_itc_patch16_224.pth",
)
