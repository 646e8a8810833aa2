# Cascade R-CNN with BEiT-3 base and ViTDet's pyramid on Objects365: the paper's recipe, which the paper has for the giant
# alone. Layer decay 0.7, drop path 0.1 and global blocks are ViTDet's for this size, the strides those of a patch of 16; the
# rest is the giant's. Not trained here.
_base_ = ["./cascade-rcnn_beit3-g_vitdet_1024_objects365.py", "../_base_/weights.py"]
model = dict(
    backbone=dict(
        arch="base",
        window_size=14,
        global_indices=(2, 5, 8, 11),
        drop_path_rate=0.1,
        init_cfg=dict(checkpoint=_base_.pop("weights").base_itc),
    ),
    neck=dict(in_channels=768),
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32, 64])),
    roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 32])),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
