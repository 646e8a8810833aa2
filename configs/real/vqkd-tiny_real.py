# Tiny image tokenizer of real images: the training images of CamVid, nuclei and BCCD (1,019), on one or two CPU cores. The
# teacher is a trained ViT-S/14 of DINOv2. It sees crops of 196 pixels, the tokenizer the same crops of 224 pixels, so both have
# 14 x 14 patches. BFloat16OptimWrapper needs a CPU with bfloat16 instructions to save time.
# Our choice: all values.
_base_ = "../_base_/pretrain.py"
image_size, patch_size = 224, 16
# Only training images: one folder holds the images of both splits of nuclei and BCCD.
images = [
    "data/camvid/images/train",
    dict(list="data/nuclei/train.json", folder="data/nuclei/images"),
    dict(list="data/bccd/train.json", folder="data/bccd/images"),
]
__stream = dict(
    kind="images",
    paths=images,
    batch=16,
    view=dict(scale=(0.2, 1.0), color_jitter=0.0),
    masking=dict(image_ratio=None),
)
streams = dict(_delete_=True, images=__stream)
model = dict(
    type="mmbeit3.VQKDTrainer",
    tokenizer=dict(
        dims=192,
        depth=4,
        heads=3,
        image_size=image_size,
        patch_size=patch_size,
        num_codes=256,
        code_dims=32,
        decoder_depth=1,
        revive_below=0.1,
    ),
    teacher=dict(model="vit_small_patch14_dinov2", checkpoint="checkpoints/dinov2_vits14.safetensors", image_size=(196, 196)),
)
train_dataloader = dict(
    num_workers=1,
    dataset=dict(image_size=image_size, patch_size=patch_size, tokenizer=None, streams=streams),
)
max_iters = 900
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(
    _delete_=True,
    type="mmbeit3.BFloat16OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=3.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=max_iters, T_max=max_iters),
]
# Without this hook, the 256 codes shrank to about 6 per batch within 40 steps.
custom_hooks = [*_base_.custom_hooks, dict(type="mmbeit3.DelayedCodebookHook", steps=200)]
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200, max_keep_ckpts=2))
env_cfg = dict(cudnn_benchmark=False, dist_cfg=dict(backend="gloo"))
