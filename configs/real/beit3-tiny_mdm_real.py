# Masked data modeling with a tiny BEiT-3 on the training images of CamVid, nuclei and BCCD (1,019), without texts, on one or two
# CPU cores. Train the image tokenizer first: python tools/train.py configs/real/vqkd-tiny_real.py
# For fine-tuning, normalise images as here: mean and deviation of 127.5.
# Our choice: all values except the masking ratio, the betas and the weight decay, which are the BEiT-3 paper's.
_base_ = "../_base_/pretrain_real.py"
image_size, patch_size = 224, 16
streams = dict(images=dict(batch=16, masking=dict(image_ratio=0.4)))
# The codes of visible patches are predicted, too: in so short a training, masked patches alone taught the network little.
loss_weights = {"images.image": 1.0, "images.visible": 1.0}
model = dict(
    type="mmbeit3.BEiT3Pretrainer",
    # There are no texts: the vocabulary has only the special tokens.
    network=dict(arch=dict(base="tiny", image_size=image_size, vocab_size=8, init="magneto"), loss_weights=loss_weights),
    tokenizer=dict(
        dims=384,
        depth=8,
        heads=6,
        image_size=196,
        patch_size=14,
        num_codes=512,
        code_dims=64,
        checkpoint="work_dirs/vqkd-tiny_real/iter_15.pth",
    ),
)
train_dataloader = dict(dataset=dict(image_size=image_size, patch_size=patch_size, streams=streams))
max_iters = 820
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(
    _delete_=True,
    type="mmbeit3.BFloat16OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.05, fused=True),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=1.0),
    clip_grad=dict(max_norm=3.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=60),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=max_iters, T_max=max_iters),
]
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=100, max_keep_ckpts=-1),
    reconstruction=dict(type="mmbeit3.ReconstructionHook", interval=400),
)
