# UperNet with BEiT-3 base and ViT-Adapter on ADE20K at 512. Not trained here; nobody has published BEiT-3 base or large on
# ADE20K.
# Sources: schedule (160k, warm-up 1500, linear decay to 0, batch 16, no clipping), drop path 0.2 and layer decay 0.95 as
# ViT-Adapter's BEiT base with Mask2Former; rate 3e-5 the same. Global attention, as its segmentation has.
# Chosen: weights after image-text contrastive tuning, as BEiT-3's README recommends for pure vision tasks.
_base_ = [
    "../_base_/models/upernet_seg.py",
    "../_base_/models/adapter-b.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/seg_160k.py",
]
_base_.adapter.vit.image_size = 512
model = dict(backbone=_base_.pop("adapter"))
