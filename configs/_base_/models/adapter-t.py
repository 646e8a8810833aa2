# Backbone: tiny BEiT-3 with a ViT-Adapter, for training on two CPU cores. A config takes it with `_base_.pop("adapter")`.
# Our choice: all values.
adapter = dict(
    type="mmbeit3.ViTAdapter",
    vit=dict(type="mmbeit3.BEiT3Vision", arch="tiny", image_size=128),
    interaction_indexes=((0, 1), (2, 3), (4, 5), (6, 7)),
    deform_num_heads=6,
    use_extra_extractor=False,
    init_gain=0.1,
    norm_cfg=dict(type="BN"),
)
