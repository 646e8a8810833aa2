# Image tokenizer of BEiT v2 (VQ-KD, arXiv 2208.06366) on ImageNet-1k, 100 epochs: ViT-B/16 with 8192 codes, taught by CLIP
# ViT-B/16. We have not trained it.
# timm downloads the teacher's weights, unless model.teacher.checkpoint names a file. Of timm's two CLIP models, this is the one
# with CLIP's own activation function.
# Sources: BEiT v2's published code: 100 epochs of 2502 steps of 512 images on 8 GPUs, warm-up from zero over the first 10,
# learning rate 5e-5 per 128 images, falling to 1e-5, no gradient clipping, flips and crops as the only augmentation.
# Our choice: bfloat16, where the original uses float16.
_base_ = "../_base_/pretrain.py"
__images = dict(
    kind="images",
    paths="data/imagenet/train",
    batch=64,
    view=dict(scale=(0.08, 1.0), color_jitter=0.0),
    masking=dict(image_ratio=None),
)
streams = dict(_delete_=True, images=__images)
model = dict(
    type="mmbeit3.VQKDTrainer",
    tokenizer=dict(preset="base", decoder_depth=3),
    teacher=dict(model="vit_base_patch16_clip_quickgelu_224.openai", pretrained=True, project=True),
)
train_dataloader = dict(dataset=dict(tokenizer=None, streams=streams))
epoch = 1_281_167 // 512
max_iters = 100 * epoch
train_cfg = dict(max_iters=max_iters)
undecayed = dict(decay_mult=0.0)
optim_wrapper = dict(
    _delete_=True,
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=2e-4, betas=(0.9, 0.99), eps=1e-8, weight_decay=1e-4),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(q_bias=undecayed, v_bias=undecayed, pos_embed=undecayed, cls_token=undecayed),
    ),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=10 * epoch),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=10 * epoch, end=max_iters, T_max=90 * epoch, eta_min=1e-5),
]
