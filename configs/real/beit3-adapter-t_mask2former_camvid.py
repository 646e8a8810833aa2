# Mask2Former with a tiny BEiT-3 in a ViT-Adapter on CamVid, from random weights.
# Differs from dinov2-adapter-s_mask2former_camvid.py in: the ViT, its learning rate, and the normalisation of images, which is that of
# beit3-tiny_mdm_real.py.
_base_ = ["./dinov2-adapter-s_mask2former_camvid.py", "../_base_/models/adapter-t_real.py"]
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, size_divisor=32),
    backbone=dict(_base_.pop("adapter"), _delete_=True),
    decode_head=dict(in_channels=[192] * 4),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0, custom_keys={"backbone.vit.": dict(lr_mult=0.3)}))
