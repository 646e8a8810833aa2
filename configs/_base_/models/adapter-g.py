# Backbone: BEiT-3 giant with a ViT-Adapter. A config takes it with `_base_.pop("adapter")`. The giant's weights were never
# released.
# Differs from adapter-l.py in: the size, four groups of ten blocks, drop path 0.5, which is the BEiT-3 paper's, and
# recomputation, because in float32 it may need more than 80 GB without.
adapter = dict(
    vit=dict(
        arch="giant",
        drop_path_rate=0.5,
        with_cp=True,
        init_cfg=dict(checkpoint="checkpoints/beit3_giant_patch14_224.pth"),
    ),
    with_cp=True,
    interaction_indexes=((0, 9), (10, 19), (20, 29), (30, 39)),
    drop_path_rate=0.5,
)
