# What BEiT-3 giant in ViT-Adapter has otherwise than large: four groups of ten blocks and the paper's drop path 0.5. Its
# weights were never released. A config takes it with `_base_.pop("adapter")`.
adapter = dict(
    vit=dict(arch="giant", drop_path_rate=0.5, init_cfg=dict(checkpoint="checkpoints/beit3_giant_patch14_224.pth")),
    interaction_indexes=((0, 9), (10, 19), (20, 29), (30, 39)),
    drop_path_rate=0.5,
)
