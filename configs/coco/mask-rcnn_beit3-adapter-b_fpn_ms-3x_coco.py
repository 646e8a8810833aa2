# Mask R-CNN with a BEiT-3 base ViT-Adapter on COCO, 36 epochs. We have not trained it.
# Differs from mask-rcnn_beit3-adapter-b_fpn_1x_coco.py in: 36 epochs, scale jitter and crops.
# Sources: ViT-Adapter's 3x recipe, with the learning rate lowered at epochs 27 and 33.
_base_ = ["./mask-rcnn_beit3-adapter-b_fpn_1x_coco.py", "../_base_/schedules/coco_ms-3x.py"]
train_pipeline = _base_.pop("ms_pipeline")
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=36)
param_scheduler = _base_.pop("schedule_3x")
