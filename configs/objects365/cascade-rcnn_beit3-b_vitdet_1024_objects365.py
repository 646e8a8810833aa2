# The paper's recipe with BEiT-3 base, which the paper does not train on this. Layer decay 0.7, drop path 0.1 and global blocks
# are ViTDet's for this size; the rest is the giant's. Not trained here.
_base_ = "./cascade-rcnn_beit3-g_vitdet_1024_objects365.py"
model = dict(
    backbone=dict(
        arch="base",
        window_size=14,
        global_indices=(2, 5, 8, 11),
        drop_path_rate=0.1,
        init_cfg=dict(checkpoint="https://github.com/addf400/files/releases/download/beit3/beit3_base_itc_patch16_224.pth"),
    ),
    neck=dict(in_channels=768),
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32, 64])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
