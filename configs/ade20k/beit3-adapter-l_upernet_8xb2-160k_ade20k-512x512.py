# UperNet with a BEiT-3 large ViT-Adapter on ADE20K, crops of 512 x 512 pixels, 160k iterations. We have not trained it.
# Differs from beit3-adapter-b_upernet_8xb2-160k_ade20k-512x512.py in: the size, learning rate, layer decay and drop path.
# Sources: ViT-Adapter's UperNet recipes for large models: learning rate 2e-5, layer decay 0.9, drop path 0.3.
_base_ = ["./beit3-adapter-b_upernet_8xb2-160k_ade20k-512x512.py", "../_base_/models/adapter-l.py"]
_base_.adapter.update(drop_path_rate=0.3, vit=dict(drop_path_rate=0.3))
model = dict(
    backbone=_base_.pop("adapter"),
    decode_head=dict(in_channels=[1024] * 4),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(lr=2e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
