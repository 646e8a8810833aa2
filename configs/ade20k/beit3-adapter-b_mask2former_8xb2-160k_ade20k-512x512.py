# Mask2Former with a BEiT-3 base ViT-Adapter on ADE20K, crops of 512 x 512 pixels, 160k iterations. We have not trained it, and
# there are no published ADE20K results of BEiT-3 base or large.
# Sources: ViT-Adapter's BEiT base with Mask2Former: 160k iterations, warm-up 1500, linear decay to 0, batch size 16, no
# clipping, learning rate 3e-5, drop path 0.2, layer decay 0.95. Global attention, as in ViT-Adapter's segmentors.
# Our choice: weights after image-text contrastive tuning, which BEiT-3's README recommends for pure vision tasks.
_base_ = [
    "../_base_/models/mask2former_seg.py",
    "../_base_/models/adapter-b.py",
    "../_base_/datasets/ade20k.py",
    "../_base_/schedules/seg_160k.py",
]
_base_.adapter.vit.image_size = 512
model = dict(
    backbone=_base_.pop("adapter"),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
