# Captions of COCO with BEiT-3 base, as the released code's README: rate 4e-5, no layer decay, drop path 0.1, RandAugment, texts of 32
# tokens, 70% of them masked, the worst fifth of losses dropped after 12000 iterations. Released: CIDEr 133.6, and 135.0 from
# beit3_base_indomain_patch16_224.pth. Not trained here.
_base_ = ["../_base_/tasks.py", "../_base_/datasets/coco_captions.py"]
lr = 4e-5
model = dict(
    type="mmbeit3.BEiT3Captioning",
    network=dict(arch="base", image_size=480, drop_path_rate=0.1, with_cp=True),
    tokenizer="checkpoints/beit3.spm",
    mask_ratio=0.7,
    drop_worst_after=12000,
    init_cfg=dict(
        type="Pretrained", checkpoint="https://github.com/addf400/files/releases/download/beit3/beit3_base_patch16_224.pth"
    ),
)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1e-6 / lr,
        by_epoch=True,
        begin=1,
        end=10,
        T_max=9,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(save_best="caption/CIDEr", rule="greater"))
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(enable=False, base_batch_size=256)
