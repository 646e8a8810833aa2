# Mask R-CNN with narrow heads and losses on fewer boxes, for training on two CPU cores. The configs that inherit this file set the
# backbone.
# Our choice: all values.
_base_ = "./rcnn.py"
model = dict(
    data_preprocessor=dict(pad_size_divisor=28),
    neck=dict(out_channels=96),
    rpn_head=dict(in_channels=96, feat_channels=96),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=96, roi_layer=dict(sampling_ratio=2)),
        bbox_head=dict(in_channels=96, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=96, roi_layer=dict(sampling_ratio=2)),
        mask_head=dict(in_channels=96, conv_out_channels=96, num_convs=2),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=500), rcnn=dict(sampler=dict(num=128))),
    test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=500)),
)
