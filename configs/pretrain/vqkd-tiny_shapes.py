# Tiny image tokenizer on the shapes dataset, on two CPU cores. The teacher is the first stage of a convolutional network with
# random weights of a fixed seed. It has not learned shapes, but similar patches have similar features. So the codes separate
# colours and textures, not meanings. That is enough to check that all parts work, and better than random codes for the tiny
# pretraining config. Use a trained teacher for real images.
# Our choice: all values.
_base_ = "../_base_/pretrain.py"
image_size, patch_size = 128, 16
__images = dict(
    kind="images",
    paths="data/shapes-plain/train2017",
    batch=20,
    view=dict(scale=(0.2, 1.0), color_jitter=0.0),
    masking=dict(image_ratio=None),
)
streams = dict(_delete_=True, images=__images)
model = dict(
    type="mmbeit3.VQKDTrainer",
    tokenizer=dict(
        dims=128, depth=2, heads=2, image_size=image_size, patch_size=patch_size, num_codes=64, code_dims=16, decoder_depth=1
    ),
    teacher=dict(model="convnext_atto", layer=0, image_size=(image_size, image_size), seed=0),
)
train_dataloader = dict(
    num_workers=1,
    dataset=dict(image_size=image_size, patch_size=patch_size, tokenizer=None, streams=streams),
)
max_iters = 600
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4),
    clip_grad=dict(max_norm=3.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=max_iters, T_max=max_iters),
]
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=300, max_keep_ckpts=2))
env_cfg = dict(cudnn_benchmark=False, dist_cfg=dict(backend="gloo"))
