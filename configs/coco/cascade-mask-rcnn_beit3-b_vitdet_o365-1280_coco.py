# Cascade Mask R-CNN with BEiT-3 base and ViTDet's feature pyramid on COCO, 20 epochs after an Objects365 stage. We have not
# trained it.
# Differs from cascade-mask-rcnn_beit3-g_vitdet_o365-1280_coco.py in: the size, patch size, windows, drop path and layer decay.
# The BEiT-3 paper has this recipe for the giant only.
# Sources: ViTDet's values for this size: layer decay 0.7, drop path 0.1, global blocks. The strides follow from a patch size of
# 16.
_base_ = "./cascade-mask-rcnn_beit3-g_vitdet_o365-1280_coco.py"
load_from = "work_dirs/cascade-rcnn_beit3-b_vitdet_1024_objects365/epoch_15.pth"
model = dict(
    backbone=dict(
        arch="base",
        window_size=14,
        global_indices=(2, 5, 8, 11),
        drop_path_rate=0.1,
        with_cp=False,  # fits into 80 GB
    ),
    neck=dict(in_channels=768),
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32, 64])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
        mask_roi_extractor=dict(featmap_strides=[4, 8, 16, 32]),
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
