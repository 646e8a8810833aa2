# Mask2Former with BEiT-3 large and ViT-Adapter on ADE20K at 640. Sources: ViT-Adapter's Mask2Former with BEiT-L at 640 (rate
# 2e-5, layer decay 0.9, drop path 0.3, head of 1024 channels and 32 heads), whose BEiT-L reached 58.3 mIoU; the rest as the
# base config. Not trained here.
_base_ = [
    "./beit3-adapter-b_mask2former_8xb2-160k_ade20k-640x640.py",
    "../_base_/models/adapter-l.py",
    "../_base_/models/mask2former_1024.py",
]
width = 1024  # of the head
_base_.adapter.update(drop_path_rate=0.3, with_cp=True, vit=dict(drop_path_rate=0.3))
model = dict(backbone=_base_.pop("adapter"), decode_head=_base_.pop("wide_head"))
optim_wrapper = dict(optimizer=dict(lr=2e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
