# The paper's recipe with BEiT-3 large, which the paper does not train on this. Layer decay 0.8, drop path 0.4 and global blocks
# are ViTDet's for this size; the rest is the giant's. Not trained here.
_base_ = "./cascade-rcnn_beit3-g_vitdet_1024_objects365.py"
model = dict(
    backbone=dict(
        arch="large",
        window_size=14,
        global_indices=(5, 11, 17, 23),
        drop_path_rate=0.4,
        init_cfg=dict(checkpoint="https://github.com/addf400/files/releases/download/beit3/beit3_large_itc_patch16_224.pth"),
    ),
    neck=dict(in_channels=1024),
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32, 64])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
