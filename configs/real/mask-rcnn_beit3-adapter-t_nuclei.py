# Mask R-CNN with a tiny BEiT-3 in a ViT-Adapter on the nuclei of the Data Science Bowl 2018, from random weights.
# Differs from mask-rcnn_dinov2-adapter-s_nuclei.py in: the ViT, its learning rate, and the normalisation of images, which is that of
# beit3-tiny_mdm_real.py.
_base_ = ["./mask-rcnn_dinov2-adapter-s_nuclei.py", "../_base_/models/adapter-t_real.py"]
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, pad_size_divisor=32),
    backbone=dict(_base_.pop("adapter"), _delete_=True, norm_cfg=_base_.norm_cfg),
    neck=dict(in_channels=[192] * 4),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0, custom_keys={"backbone.vit.": dict(lr_mult=0.3)}))
