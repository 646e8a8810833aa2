# Mask2Former with a BEiT-3 large ViT-Adapter on ADE20K, crops of 640 x 640 pixels, 160k iterations. We have not trained it.
# Differs from beit3-adapter-b_mask2former_8xb2-160k_ade20k-640x640.py in: the size, learning rate, layer decay, drop path and
# width of the head.
# Sources: ViT-Adapter's Mask2Former with BEiT-L at 640 pixels (58.3 mIoU): learning rate 2e-5, layer decay 0.9, drop path 0.3,
# head of 1024 channels and 32 attention heads.
_base_ = [
    "./beit3-adapter-b_mask2former_8xb2-160k_ade20k-640x640.py",
    "../_base_/models/adapter-l.py",
    "../_base_/models/mask2former_1024.py",
]
width = 1024  # of the head
_base_.adapter.update(drop_path_rate=0.3, vit=dict(drop_path_rate=0.3))
model = dict(backbone=_base_.pop("adapter"), decode_head=_base_.pop("wide_head"))
optim_wrapper = dict(optimizer=dict(lr=2e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
