# Shared settings of masked data modeling on images, texts and image-text pairs.
# Sources: optimizer, masking ratios and augmentation are the BEiT-3 paper's (arXiv 2208.10442, table 11).
# Our choice, because the paper does not state it: words are replaced as in BERT, texts have up to 64 tokens, crops cover at
# least a fifth of the image (BEiT v2), losses are summed with equal weights.
custom_imports = dict(imports=["mmbeit3.registry"], allow_failed_imports=False)
custom_hooks = [
    dict(type="mmbeit3.FastOpsHook"),
    dict(type="mmbeit3.FiniteLossHook"),
    dict(type="mmbeit3.ThroughputHook"),
    dict(type="mmbeit3.ExactResumeHook"),
]
randomness = dict(seed=0)
default_scope = "mmengine"
image_size, patch_size = 224, 16
image_masking = dict(image_ratio=0.4)
streams = dict(
    images=dict(kind="images", paths="data/imagenet21k", batch=32, masking=image_masking),
    texts=dict(kind="texts", paths=["data/texts/shard-{000000..000999}.tar"], batch=32, masking=dict(text_ratio=0.15)),
    pairs=dict(
        kind="pairs",
        paths=["data/pairs/shard-{000000..000999}.tar"],
        batch=32,
        masking=dict(text_ratio=0.5, **image_masking),
    ),
)
train_dataloader = dict(
    batch_size=1,  # one step; its numbers of images, texts and pairs are the streams' `batch`
    num_workers=8,
    persistent_workers=True,
    sampler=None,
    collate_fn=dict(type="mmbeit3.only_item"),
    dataset=dict(
        type="mmbeit3.PretrainSteps",
        image_size=image_size,
        patch_size=patch_size,
        tokenizer="checkpoints/beit3.spm",
        streams=streams,
    ),
)
max_iters = 1_000_000
# True: ExactResumeHook restores the position in the data, so MMEngine must not skip data as well.
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, fast_forward_on_resume=True)
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=1.0),
    clip_grad=dict(max_norm=3.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=10_000),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=10_000, end=max_iters, T_max=max_iters - 10_000),
]
default_hooks = dict(
    sampler_seed=None,  # PretrainSteps has no sampler
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    checkpoint=dict(type="mmbeit3.SafeCheckpointHook", by_epoch=False, interval=10_000, max_keep_ckpts=3),
)
log_processor = dict(by_epoch=False)
env_cfg = dict(cudnn_benchmark=True, dist_cfg=dict(backend="nccl"))
