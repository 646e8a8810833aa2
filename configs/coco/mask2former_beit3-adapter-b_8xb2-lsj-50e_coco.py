# Mask2Former for instance segmentation with a BEiT-3 base ViT-Adapter on COCO, 50 epochs. We have not trained it.
# Differs from mmdet's mask2former_r50_8xb2-lsj-50e_coco.py in: the backbone, layer decay, and our head, which has the results
# of mmdet's with fewer waits for the GPU.
# Sources: Mask2Former (mmdet): head, losses, schedule and augmentation. The backbone is that of
# mask-rcnn_beit3-adapter-b_fpn_1x_coco.py.
# Our choice: layer decay 0.9, as in ViT-Adapter's panoptic Mask2Former.
_base_ = ["mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py", "../_base_/models/adapter-b.py", "../_base_/mmbeit3.py"]
_base_.adapter.vit.update(image_size=1024, window_size=14, global_indices=(2, 5, 8, 11))
model = dict(
    backbone=dict(_base_.pop("adapter"), _delete_=True),
    panoptic_head=dict(
        type="mmbeit3.Mask2FormerHead",
        in_channels=[768] * 4,
        pixel_decoder=dict(type="mmbeit3.MSDeformAttnPixelDecoder"),
    ),
)
optim_wrapper = dict(
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor", paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.9)
)
default_hooks = dict(checkpoint=dict(type="mmbeit3.SafeCheckpointHook"))
