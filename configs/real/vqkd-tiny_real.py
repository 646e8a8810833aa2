# Image tokenizer of real images: the training images of CamVid, nuclei and BCCD (1,019), on one or two CPU cores. The teacher is a
# trained ViT-S/14 of DINOv2. Its first 8 of 12 blocks are also the tokenizer's encoder, which is not trained: an encoder of random
# weights learned too little from 3,000 images. The tokenizer has 14 x 14 patches of 14 pixels. The pretrained model has patches of
# 16, and resizes its images of 224 pixels to 196 for the tokenizer.
# BFloat16OptimWrapper needs a CPU with bfloat16 instructions to save time.
# Our choice: all values.
_base_ = "../_base_/pretrain_real.py"
image_size, patch_size = 196, 14
streams = dict(images=dict(batch=64, masking=dict(image_ratio=None)))
model = dict(
    type="mmbeit3.VQKDTrainer",
    tokenizer=dict(
        dims=384,
        depth=8,
        heads=6,
        image_size=image_size,
        patch_size=patch_size,
        num_codes=512,
        code_dims=64,
        decoder_depth=1,
        decoder_dims=192,
        revive_below=0.1,
    ),
    teacher=dict(model="vit_small_patch14_dinov2", checkpoint="checkpoints/dinov2_vits14.safetensors"),
    encoder_from_teacher=True,
)
train_dataloader = dict(dataset=dict(image_size=image_size, patch_size=patch_size, streams=streams))
max_iters = 15
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(
    _delete_=True,
    type="mmbeit3.BFloat16OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=3.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=5),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=max_iters, T_max=max_iters),
]
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=15, max_keep_ckpts=2))
