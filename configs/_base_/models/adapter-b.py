# Backbone: BEiT-3 base with a ViT-Adapter. A config takes it with `_base_.pop("adapter")` and adds what its task needs, such as
# the image size or windows.
# Sources: four groups of three blocks and drop path 0.2 are those of ViT-Adapter's base models. BEiT-3's README recommends
# these weights, after image-text contrastive tuning, for pure vision tasks.
_base_ = "../weights.py"
adapter = dict(
    type="mmbeit3.ViTAdapter",
    vit=dict(
        type="mmbeit3.BEiT3Vision",
        arch="base",
        drop_path_rate=0.2,
        init_cfg=dict(type="Pretrained", checkpoint=_base_.pop("weights").base_itc),
    ),
    interaction_indexes=((0, 2), (3, 5), (6, 8), (9, 11)),
    drop_path_rate=0.2,
)
