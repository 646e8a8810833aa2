# mmdet's Mask R-CNN with our heads. The configs that inherit this file set the backbone.
_base_ = ["mmdet::_base_/models/mask-rcnn_r50_fpn.py", "./rcnn_heads.py"]
_base_.pop("cascade_heads")
model = _base_.pop("rcnn_heads")
