# The image tokenizer, tiny, on the made shapes dataset, on two CPU cores; all numbers are ours. Its teacher is a convnet with random
# weights of a fixed seed, of which only the first stage is used: it knows nothing of shapes, but like patches have like features. So
# the codes tell colours and textures apart, not meanings: good to see that all parts work and to give the tiny pretraining config
# codes that are better than random ones. For real images take a trained teacher.
_base_ = "../_base_/pretrain.py"
image_size, patch_size = 128, 16
streams = dict(
    _delete_=True,
    images=dict(
        kind="images",
        paths="data/shapes-plain/train2017",
        batch=20,
        view=dict(scale=(0.2, 1.0), color_jitter=0.0),
        masking=dict(image_ratio=None),
    ),
)
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
