# Captioning with BEiT-3 base on COCO at 480 x 480 pixels, 10 epochs. We have not trained it. The authors report CIDEr 133.6,
# and 135.0 when starting from beit3_base_indomain_patch16_224.pth.
# Sources: BEiT-3's README: learning rate 4e-5, no layer decay, drop path 0.1, RandAugment, texts of 32 tokens, 70% of their
# words masked, and after 12000 iterations the fifth of the masked words with the highest losses is ignored.
# Memory (computed, not measured): about 21 GB, and about 7 GB if layers are recomputed (`model.network.with_cp=True`).
_base_ = ["../_base_/tasks.py", "../_base_/datasets/coco_captions.py", "../_base_/weights.py"]
lr = 4e-5
model = dict(
    type="mmbeit3.BEiT3Captioning",
    network=dict(arch="base", image_size=480, drop_path_rate=0.1),
    tokenizer="checkpoints/beit3.spm",
    mask_ratio=0.7,
    drop_worst_after=12000,
    init_cfg=dict(type="Pretrained", checkpoint=_base_.pop("weights").base),
)
optim_wrapper = dict(optimizer=dict(lr=lr))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
default_hooks = dict(checkpoint=dict(save_best="caption/CIDEr", rule="greater"))
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(enable=False, base_batch_size=256)
