# Shared settings of the tasks' tiny configs on the shapes dataset. They start from the weights, images and vocabulary of
# tools/demo_pretraining.py and train on two CPU cores.
# Our choice: all values.
_base_ = "./tasks.py"
pretrained = "work_dirs/pretrain-demo/pretraining/iter_1800.pth"
shapes = "data/shapes-plain"
arch = dict(base="tiny", image_size=128, vocab_size=208, init="magneto")
model = dict(network=dict(arch=arch), init_cfg=dict(type="Pretrained", checkpoint=pretrained))
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=4e-4, betas=(0.9, 0.98), weight_decay=0.05, fused=True),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=1.0),
    clip_grad=dict(max_norm=3.0),
)
epochs = 2
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=epochs, T_max=epochs, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(max_keep_ckpts=2))
env_cfg = dict(cudnn_benchmark=False, dist_cfg=dict(backend="gloo"))
