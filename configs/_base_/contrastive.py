# Shared settings of contrastive tuning: both towers are trained on image-text pairs after masked data modeling.
# Sources: learning rate, warm-up, decay, stochastic depth, batch size and length are the BEiT-3 paper's (arXiv 2208.10442,
# appendix A): 5 epochs of its 21 million pairs, 16k pairs per batch.
# Our choice, because the paper does not state it: crops of at least half of the image, no colour jitter, no gradient clipping
# and AdamW's epsilon as in the released fine-tuning code for retrieval; texts of up to 64 tokens; the learning rate ends at
# zero.
_base_ = "./pretrain.py"
pairs = dict(
    kind="pairs",
    paths=["data/pairs/shard-{000000..000999}.tar"],
    batch=256,
    view=dict(scale=(0.5, 1.0), color_jitter=0.0),
    masking=dict(image_ratio=None, text_ratio=None),
)
streams = dict(_delete_=True, pairs=pairs)
train_dataloader = dict(dataset=dict(streams=dict(_delete_=True, pairs=pairs)))
max_iters, warmup = 6400, 1280
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(
    optimizer=dict(lr=3e-5, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(layer_decay_rate=0.95),
    clip_grad=None,
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=warmup),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=warmup, end=max_iters, T_max=max_iters - warmup),
]
default_hooks = dict(checkpoint=dict(interval=1280))
