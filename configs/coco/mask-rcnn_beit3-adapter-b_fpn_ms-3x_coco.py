# Mask R-CNN with BEiT-3 base and ViT-Adapter on COCO: the 1x config with 36 epochs, scale jitter and crops. Source:
# ViT-Adapter's 3x recipe; steps at epochs 27 and 33. Not trained here.
_base_ = ["./mask-rcnn_beit3-adapter-b_fpn_1x_coco.py", "../_base_/schedules/coco_ms-3x.py"]
train_pipeline = _base_.pop("ms_pipeline")
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=36)
param_scheduler = _base_.pop("schedule_3x")
