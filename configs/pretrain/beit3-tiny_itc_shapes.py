# Contrastive tuning of the tiny BEiT-3 on the pairs of the shapes dataset, on two CPU cores, from the weights of
# beit3-tiny_mdm_shapes.py.
# Our choice: all values that are not the BEiT-3 paper's.
_base_ = "../_base_/contrastive.py"
data = "data/shapes-plain/"
pretrained = "work_dirs/beit3-tiny_mdm_shapes/iter_1800.pth"
image_size, patch_size = 128, 16
# No crops or flips: they would change the number of objects, and swap left and right.
view = dict(scale=None, hflip=0.0)
streams = dict(pairs=dict(paths=data + "pairs_train.jsonl", batch=32, view=view, masking=dict(max_length=62)))
model = dict(
    type="mmbeit3.BEiT3ContrastiveTuner",
    network=dict(arch=dict(base="tiny", image_size=image_size, vocab_size=208)),
    init_cfg=dict(type="Pretrained", checkpoint=pretrained),
)
train_dataloader = dict(
    num_workers=1,
    dataset=dict(image_size=image_size, patch_size=patch_size, tokenizer=data + "texts.spm", streams=streams),
)
max_iters = 200
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.95),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=20, end=max_iters, T_max=max_iters - 20),
]
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100, max_keep_ckpts=2))
env_cfg = dict(cudnn_benchmark=False, dist_cfg=dict(backend="gloo"))
