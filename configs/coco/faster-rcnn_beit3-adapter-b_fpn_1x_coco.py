# Faster R-CNN with a BEiT-3 base ViT-Adapter on COCO, 12 epochs, for data that have boxes but no masks. We have not trained it.
# Differs from mask-rcnn_beit3-adapter-b_fpn_1x_coco.py in: no mask head. See that file for the sources.
_base_ = "./mask-rcnn_beit3-adapter-b_fpn_1x_coco.py"
model = dict(roi_head=dict(mask_roi_extractor=None, mask_head=None))
boxes = dict(type="LoadAnnotations", with_bbox=True)
train_pipeline = [boxes if step["type"] == "LoadAnnotations" else step for step in _base_.train_pipeline]
test_pipeline = [boxes if step["type"] == "LoadAnnotations" else step for step in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric="bbox")
test_evaluator = val_evaluator
