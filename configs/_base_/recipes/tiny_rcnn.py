# Small heads, losses on fewer boxes and a higher learning rate for a tiny ViT from random weights, on two CPU cores.
# mmbeit3.recipes merges them into detection.py or instance.py.
# Our choice: all values.
model = dict(
    backbone=dict(conv_inplane=32),
    neck=dict(out_channels=96),
    rpn_head=dict(in_channels=96, feat_channels=96),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=96, roi_layer=dict(sampling_ratio=2)),
        bbox_head=dict(in_channels=96, fc_out_channels=256),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=500), rcnn=dict(sampler=dict(num=128))),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=300)),
)
masks = dict(
    mask_roi_extractor=dict(out_channels=96, roi_layer=dict(sampling_ratio=2)),
    mask_head=dict(in_channels=96, conv_out_channels=96, num_convs=2),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4, betas=(0.9, 0.98)))
