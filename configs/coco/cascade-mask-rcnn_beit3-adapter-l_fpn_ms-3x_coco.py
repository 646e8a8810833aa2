# Cascade Mask R-CNN with a BEiT-3 large ViT-Adapter on COCO, 36 epochs. We have not trained it.
# Differs from cascade-mask-rcnn_beit3-adapter-b_fpn_ms-3x_coco.py in: the size, deformable heads, layer decay and drop path.
# Sources: ViT-Adapter's large detectors (AugReg L): 24 blocks in four groups, windows, 16 deformable heads, layer decay 0.8,
# drop path 0.4.
_base_ = ["./cascade-mask-rcnn_beit3-adapter-b_fpn_ms-3x_coco.py", "../_base_/models/adapter-l.py"]
_base_.adapter.update(drop_path_rate=0.4, vit=dict(drop_path_rate=0.4, global_indices=(5, 11, 17, 23)))
model = dict(backbone=_base_.pop("adapter"), neck=dict(in_channels=[1024] * 4))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
