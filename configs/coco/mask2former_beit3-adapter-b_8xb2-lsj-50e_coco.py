# Mask2Former with BEiT-3 base and ViT-Adapter on COCO's instances, 50 epochs. Sources: head, losses, schedule and augmentation
# are Mask2Former's own (mmdet); backbone as in mask-rcnn_beit3-adapter-b_fpn_1x_coco.py. Chosen: layer decay 0.9 as
# ViT-Adapter's panoptic Mask2Former has. Not trained here.
_base_ = ["mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py", "../_base_/models/adapter-b.py", "../_base_/mmbeit3.py"]
_base_.adapter.vit.update(image_size=1024, window_size=14, global_indices=(2, 5, 8, 11))
model = dict(backbone=dict(_base_.pop("adapter"), _delete_=True), panoptic_head=dict(in_channels=[768] * 4))
optim_wrapper = dict(
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor", paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.9)
)
default_hooks = dict(checkpoint=dict(type="mmbeit3.SafeCheckpointHook"))
