# BEiT-3 large in ViT-Adapter, as a backbone: four groups of six blocks and 16 deformable heads, as ViT-Adapter's large models;
# weights as in adapter-b.py. A config takes it with `_base_.pop("adapter")` and adds the drop path of its task.
_base_ = "../weights.py"
adapter = dict(
    type="mmbeit3.ViTAdapter",
    vit=dict(
        type="mmbeit3.BEiT3Vision",
        arch="large",
        with_cp=True,
        init_cfg=dict(type="Pretrained", checkpoint=_base_.pop("weights").large_itc),
    ),
    interaction_indexes=((0, 5), (6, 11), (12, 17), (18, 23)),
    deform_num_heads=16,
)
