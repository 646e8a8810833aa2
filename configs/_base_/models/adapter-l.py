# Backbone: BEiT-3 large with a ViT-Adapter. A config takes it with `_base_.pop("adapter")` and adds the drop path of its task.
# Sources: four groups of six blocks and 16 deformable heads are those of ViT-Adapter's large models. The weights are chosen as
# in adapter-b.py.
# Training fits into 80 GB. On smaller GPUs, recompute the ViT's blocks (`model.backbone.vit.with_cp=True`), and if that is not
# enough, also the adapter's (`model.backbone.with_cp=True`), see docs/performance.md.
_base_ = "../weights.py"
adapter = dict(
    type="mmbeit3.ViTAdapter",
    vit=dict(
        type="mmbeit3.BEiT3Vision",
        arch="large",
        init_cfg=dict(type="Pretrained", checkpoint=_base_.pop("weights").large_itc),
    ),
    interaction_indexes=((0, 5), (6, 11), (12, 17), (18, 23)),
    deform_num_heads=16,
)
