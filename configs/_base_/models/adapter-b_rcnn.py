# BEiT-3 base in ViT-Adapter as ViT-Adapter's R-CNN detectors have it: windows of 14 patches, a global block at the end of each
# group, features of the ViT's last block. Its optimizer: AdamW 1e-4, weight decay 0.05, no clipping; layer decay 0.65. A config
# takes them with `_base_.pop("adapter")` and `_base_.pop("adapter_optim_wrapper")`, with `_delete_=True` for they replace
# mmdet's.
_base_ = "./adapter-b.py"
adapter = dict(vit=dict(window_size=14, global_indices=(2, 5, 8, 11)), vit_feature="last")
adapter_optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.65),
)
