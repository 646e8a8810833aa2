# Cascade Mask R-CNN with BEiT-3 large and ViTDet's feature pyramid on COCO, 20 epochs after an Objects365 stage. We have not
# trained it.
# Differs from cascade-mask-rcnn_beit3-b_vitdet_o365-1280_coco.py in: the size, global blocks, drop path and layer decay.
# Sources: ViTDet's values for large: layer decay 0.8, drop path 0.4, global blocks.
_base_ = "./cascade-mask-rcnn_beit3-b_vitdet_o365-1280_coco.py"
load_from = "work_dirs/cascade-rcnn_beit3-l_vitdet_1024_objects365/epoch_15.pth"
model = dict(
    backbone=dict(arch="large", global_indices=(5, 11, 17, 23), drop_path_rate=0.4),
    neck=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
