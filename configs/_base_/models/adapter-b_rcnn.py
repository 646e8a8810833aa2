# Backbone and optimizer of the R-CNN detectors: BEiT-3 base with a ViT-Adapter. A config takes them with
# `_base_.pop("adapter")` and `_base_.pop("adapter_optim_wrapper")`, and with `_delete_=True` because they replace mmdet's.
# Sources: windows of 14 patches, one global block at the end of each group and features of the ViT's last block are those of
# ViT-Adapter's R-CNN detectors. So is the optimizer: AdamW, learning rate 1e-4, weight decay 0.05, no clipping. Layer decay is
# 0.65.
_base_ = "./adapter-b.py"
adapter = dict(vit=dict(window_size=14, global_indices=(2, 5, 8, 11)), vit_feature="last")
adapter_optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.65),
)
