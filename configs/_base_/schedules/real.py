# Schedule and optimizer of the small real datasets: AdamW in bfloat16, a short warm-up and cosine decay to 0.
# Our choice: all values.
max_epochs = 8
epochs = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(
    type="mmbeit3.BFloat16OptimWrapper",
    optimizer=dict(type="AdamW", lr=6e-4, betas=(0.9, 0.98), weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=1.0),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=max_epochs, T_max=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)
