# Cascade R-CNN with BEiT-3 base and ViTDet's feature pyramid on Objects365, 15 epochs: the stage before COCO. We have not
# trained it.
# Differs from cascade-rcnn_beit3-g_vitdet_1024_objects365.py in: the size, patch size, windows, drop path and layer decay. The
# BEiT-3 paper has this recipe for the giant only.
# Sources: ViTDet's values for this size: layer decay 0.7, drop path 0.1, global blocks. The strides follow from a patch size of
# 16.
_base_ = ["./cascade-rcnn_beit3-g_vitdet_1024_objects365.py", "../_base_/weights.py"]
model = dict(
    backbone=dict(
        arch="base",
        window_size=14,
        global_indices=(2, 5, 8, 11),
        drop_path_rate=0.1,
        with_cp=False,  # fits into 80 GB
        init_cfg=dict(checkpoint=_base_.pop("weights").base_itc),
    ),
    neck=dict(in_channels=768),
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32, 64])),
    roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 32])),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
