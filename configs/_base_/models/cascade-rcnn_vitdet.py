# Cascade Mask R-CNN with a BEiT-3 giant and ViTDet's feature pyramid and heads, as in the BEiT-3 paper's COCO recipe.
# Sources: ViTDet (arXiv 2203.16527, appendix A.2): two convolutions in the RPN, four convolutions and one linear layer in the
# box heads, four convolutions in the mask heads, each with a layer norm.
# Our choice: the giant's windows, see the configs that inherit this file.
_base_ = "mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py"
norm_cfg = dict(type="mmbeit3.LN2d", eps=1e-6)
model = dict(
    backbone=dict(
        _delete_=True,
        type="mmbeit3.BEiT3Vision",
        arch="giant",
        window_size=16,
        global_indices=(3, 7, 11, 15, 19, 23, 27, 31, 35, 39),
        drop_path_rate=0.6,
        with_cp=True,
    ),
    neck=dict(_delete_=True, type="mmbeit3.SimpleFeaturePyramid", in_channels=1408),
    # With a patch size of 14, the levels have strides of 3.5, 7, 14, 28 and 56 pixels.
    rpn_head=dict(num_convs=2, anchor_generator=dict(scales=[8], strides=[3.5, 7, 14, 28, 56])),
    roi_head=dict(
        bbox_roi_extractor=dict(type="mmbeit3.SingleRoIExtractor", featmap_strides=[3.5, 7, 14, 28]),
        bbox_head=[
            dict(
                type="Shared4Conv1FCBBoxHead",
                in_channels=256,
                conv_out_channels=256,
                fc_out_channels=1024,
                roi_feat_size=7,
                num_classes=80,
                norm_cfg=norm_cfg,
                bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=stds),
                reg_class_agnostic=True,
                loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
                loss_bbox=dict(type="SmoothL1Loss", beta=1.0, loss_weight=1.0),
            )
            for stds in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067])
        ],
        mask_roi_extractor=dict(type="mmbeit3.SingleRoIExtractor", featmap_strides=[3.5, 7, 14, 28]),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
)
