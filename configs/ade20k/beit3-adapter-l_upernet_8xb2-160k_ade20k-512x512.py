# UperNet with BEiT-3 large and ViT-Adapter on ADE20K at 512. Sources: ViT-Adapter's UperNet recipes for large models (rate
# 2e-5, layer decay 0.9, drop path 0.3); the rest as the base config. Not trained here.
_base_ = ["./beit3-adapter-b_upernet_8xb2-160k_ade20k-512x512.py", "../_base_/models/adapter-l.py"]
_base_.adapter.update(drop_path_rate=0.3, with_cp=True, vit=dict(drop_path_rate=0.3))
model = dict(
    backbone=_base_.pop("adapter"),
    decode_head=dict(in_channels=[1024] * 4),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(lr=2e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
