# Masked data modeling with a tiny BEiT-3 on the images, sentences and pairs of the shapes dataset, on two CPU cores. Before it,
# make the images (python tools/make_shapes_dataset.py data/shapes-plain --train 4000 --val 200 --style plain), the vocabulary
# (python tools/train_text_tokenizer.py data/shapes-plain/texts_train.txt --out data/shapes-plain/texts.spm --vocab-size 200
# --model-type bpe) and the image tokenizer (python tools/train.py configs/pretrain/vqkd-tiny_shapes.py).
# Our choice: all values that are not the BEiT-3 paper's.
_base_ = "../_base_/pretrain.py"
data = "data/shapes-plain/"
image_size, patch_size = 128, 16
max_length = 62  # number of positions of the tiny model
image_masking = dict(image_ratio=0.4, min_num_patches=4)
streams = dict(
    images=dict(paths=data + "train2017", batch=2, masking=image_masking),
    texts=dict(paths=data + "texts_train.txt", batch=8, masking=dict(max_length=max_length)),
    # No crops or flips: they would change the number of objects, and swap left and right.
    pairs=dict(
        paths=data + "pairs_train.jsonl",
        batch=11,
        view=dict(scale=None, color_jitter=0.0, hflip=0.0),
        masking=dict(image_ratio=0.25, min_num_patches=4, text_ratio=0.5, max_length=max_length),
    ),
)
model = dict(
    type="mmbeit3.BEiT3Pretrainer",
    network=dict(arch=dict(base="tiny", image_size=image_size, vocab_size=208, init="magneto")),
    tokenizer=dict(
        dims=128,
        depth=2,
        heads=2,
        image_size=image_size,
        patch_size=patch_size,
        num_codes=64,
        code_dims=16,
        checkpoint="work_dirs/vqkd-tiny_shapes/iter_600.pth",
    ),
)
train_dataloader = dict(
    num_workers=1,
    dataset=dict(image_size=image_size, patch_size=patch_size, tokenizer=data + "texts.spm", streams=streams),
)
max_iters = 1800
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.05, fused=True),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=1.0),
    clip_grad=dict(max_norm=3.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=max_iters, T_max=max_iters),
]
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=600, max_keep_ckpts=2),
    reconstruction=dict(type="mmbeit3.ReconstructionHook", interval=100),
)
env_cfg = dict(cudnn_benchmark=False, dist_cfg=dict(backend="gloo"))
