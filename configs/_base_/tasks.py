# Shared settings of fine-tuning on the image-text tasks and ImageNet. The learning rate is 1e-4 and training lasts 10 epochs,
# one of them warm-up; a config with other values sets them in both parts of `param_scheduler`.
# Sources: the released code (microsoft/unilm, beit3): AdamW without clipping; learning rate linear from zero, then a cosine to
# 1e-6, updated in each iteration; seed 42.
# Our choice: bfloat16, where the released code uses float16 with loss scaling; validation with the test transforms, where the
# released code uses those of training.
_base_ = "./mmbeit3.py"
default_scope = "mmengine"
randomness = dict(seed=42)
env_cfg = dict(cudnn_benchmark=True, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0), dist_cfg=dict(backend="nccl"))
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=1.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1e-6 / 1e-4,
        by_epoch=True,
        begin=1,
        end=10,
        T_max=9,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=10, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=50),
    checkpoint=dict(type="mmbeit3.SafeCheckpointHook", by_epoch=True, interval=1, max_keep_ckpts=2),
)
