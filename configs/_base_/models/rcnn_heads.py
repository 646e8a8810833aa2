# Our parts of R-CNN detectors, which have the results of mmdet's with fewer waits for the GPU. Two differences are on purpose: in
# half precision RoIs are not rounded, and mask heads of fewer than 80 classes start with small logits. A config takes them with
# `_base_.pop("rcnn_heads")` or, for a Cascade R-CNN, `_base_.pop("cascade_heads")`.
__coder = dict(type="mmbeit3.DeltaXYWHBBoxCoder")
__sampling = dict(assigner=dict(type="mmbeit3.MaxIoUAssigner"), sampler=dict(type="mmbeit3.RandomSampler"))
__extractor = dict(type="mmbeit3.SingleRoIExtractor")
__masks = dict(mask_roi_extractor=__extractor, mask_head=dict(type="mmbeit3.FCNMaskHead"))
cascade_heads = dict(
    rpn_head=dict(type="mmbeit3.RPNHead", bbox_coder=__coder),
    roi_head=dict(bbox_roi_extractor=__extractor, **__masks),
    train_cfg=dict(rpn=__sampling),
)
rcnn_heads = dict(
    rpn_head=dict(type="mmbeit3.RPNHead", bbox_coder=__coder),
    roi_head=dict(
        bbox_roi_extractor=__extractor,
        bbox_head=dict(type="mmbeit3.Shared2FCBBoxHead", bbox_coder=__coder),
        **__masks,
    ),
    train_cfg=dict(rpn=__sampling, rcnn=__sampling),
)
