# Optimizer of the small real datasets: AdamW in bfloat16.
# Our choice: all values.
optim_wrapper = dict(
    type="mmbeit3.BFloat16OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    # A pretrained ViT learns more slowly than what starts from random weights.
    paramwise_cfg=dict(layer_decay_rate=0.8, custom_keys={"backbone.vit.": dict(lr_mult=0.1)}),
    clip_grad=dict(max_norm=10.0),
)
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=4)
