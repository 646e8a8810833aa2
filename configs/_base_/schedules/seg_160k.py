# Schedule and optimizer of semantic segmentation: 160k iterations with a batch size of 16, warm-up over 1500 iterations, then
# linear decay to 0; learning rate 3e-5, layer decay 0.95, no clipping.
# Source: ViT-Adapter's recipe for BEiT base with Mask2Former.
_base_ = "../seg_runtime.py"
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=3e-5, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.95),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=1500, end=160000),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
