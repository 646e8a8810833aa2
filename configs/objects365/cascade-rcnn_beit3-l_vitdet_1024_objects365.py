# Cascade R-CNN with BEiT-3 large and ViTDet's feature pyramid on Objects365, 15 epochs: the stage before COCO. We have not
# trained it.
# Differs from cascade-rcnn_beit3-b_vitdet_1024_objects365.py in: the size, global blocks, drop path and layer decay.
# Sources: ViTDet's values for large: layer decay 0.8, drop path 0.4, global blocks.
_base_ = ["./cascade-rcnn_beit3-b_vitdet_1024_objects365.py", "../_base_/weights.py"]
model = dict(
    backbone=dict(
        arch="large",
        global_indices=(5, 11, 17, 23),
        drop_path_rate=0.4,
        init_cfg=dict(checkpoint=_base_.pop("weights").large_itc),
    ),
    neck=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
